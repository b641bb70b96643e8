"""The postprocessor's own fields: checked, copied, pickled, dumped."""

import copy
import json
import pickle
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import ValidationError

from llamaindex_nvrerank import NVIDIARerank
from nvrerank import Scorer


class ByLength(Scorer):
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        return [float(len(passage)) for passage in passages]


class Locked(ByLength):
    """Can't be pickled."""

    def __init__(self) -> None:
        self.lock = Lock()


BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"top_n": True}, "top_n must be a whole number, not True"),
    ({"top_n": 2.0}, "top_n must be a whole number, not 2.0"),
    ({"top_n": "x"}, "top_n must be a whole number, not 'x'"),
    ({"top_n": -1}, "top_n must be 0 or more"),
    ({"threshold": True}, "threshold must be a number"),
    ({"threshold": float("nan")}, "not NaN"),
    ({"score_mode": "softmax"}, "score_mode must be 'logit' or 'sigmoid'"),
    ({"on_error": None}, "on_error must be 'raise' or 'passthrough'"),
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
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("a", "ccc")]
    assert twin.postprocess_nodes(nodes, query_str="q")[0].score == 3.0


def test_a_scorer_that_can_t_be_pickled_is_refused_and_stays_in_place() -> None:
    reranker = NVIDIARerank(scorer=Locked())
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(reranker)
    assert isinstance(reranker.scorer, Locked)


def test_pickling_leaves_the_callback_manager_where_it_is() -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    handler.lock = Lock()  # type: ignore[attr-defined]  # can't be pickled
    reranker = NVIDIARerank(scorer=ByLength(), callback_manager=CallbackManager([handler]))
    assert pickle.loads(pickle.dumps(reranker)).callback_manager.handlers == []  # our own bytes
    assert reranker.callback_manager.handlers == [handler]


def test_the_callback_manager_can_be_assigned() -> None:
    manager = CallbackManager()
    reranker = NVIDIARerank(scorer=ByLength())
    reranker.callback_manager = manager
    assert reranker.callback_manager is manager


def test_to_dict_is_json_and_names_scorer_and_class() -> None:
    reranker = NVIDIARerank(scorer=ByLength(), top_n=None, threshold=0.5)
    expected = {
        "class_name": "NVIDIARerank",
        "scorer": "ByLength",
        "top_n": None,
        "threshold": 0.5,
        "score_mode": "logit",
        "on_error": "raise",
        "fuse": None,
        "instruction": None,
        "fetch_images": False,
        "keep_retrieval_score": False,
    }
    assert reranker.to_dict() == expected
    assert json.loads(reranker.to_json()) == expected
