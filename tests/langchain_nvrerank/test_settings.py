"""The compressor's own fields: checked, copied, pickled, dumped."""

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from pydantic import ValidationError

from langchain_nvrerank import NVIDIARerank
from nvrerank import Scorer


class ByLength(Scorer):
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        return [float(len(passage)) for passage in passages]


BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"top_n": True}, "top_n must be a whole number, not True"),
    ({"top_n": 2.0}, "top_n must be a whole number, not 2.0"),
    ({"top_n": "x"}, "top_n must be a whole number, not 'x'"),
    ({"top_n": -1}, "top_n must be 0 or more"),
    ({"threshold": True}, "threshold must be a number"),
    ({"threshold": float("nan")}, "not NaN"),
    ({"score_mode": "softmax"}, "score_mode must be 'logit' or 'sigmoid'"),
    ({"on_error": None}, "on_error must be 'raise' or 'passthrough'"),
    ({"run_type": "llm"}, "'chain' or 'reranker'"),
    ({"scorer": "a model's name"}, "instance of Scorer"),
    ({"topn": 3}, "topn"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_a_bad_option_is_refused_at_construction(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        NVIDIARerank(**{"scorer": ByLength(), **options})


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS[:-2])
def test_a_bad_option_is_refused_at_assignment(options: dict[str, Any], message: str) -> None:
    reranker = NVIDIARerank(scorer=ByLength())
    ((name, value),) = options.items()
    with pytest.raises(ValidationError, match=message):
        setattr(reranker, name, value)


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        NVIDIARerank.model_copy,
        lambda reranker: pickle.loads(pickle.dumps(reranker)),  # our own bytes
    ],
)
def test_a_copy_has_the_same_settings_and_works(duplicate: Callable[[NVIDIARerank], NVIDIARerank]) -> None:
    twin = duplicate(NVIDIARerank(scorer=ByLength(), top_n=1, threshold=2))
    assert (twin.top_n, twin.threshold) == (1, 2)
    assert twin.compress_documents([Document("a"), Document("ccc")], "q")[0].page_content == "ccc"


def test_a_dump_is_json_and_names_the_scorer() -> None:
    dumped = NVIDIARerank(scorer=ByLength(), top_n=None).model_dump(mode="json")
    assert dumped["scorer"] == "ByLength"
    assert dumped["top_n"] is None
