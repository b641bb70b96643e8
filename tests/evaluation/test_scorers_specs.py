import pytest

from nvrerank.evaluation.retrieval import retriever_spec
from nvrerank.evaluation.scorers import ScorerSpec, scorer_spec


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("bm25", "bm25", ""),
        ("embedding:all-MiniLM-L6-v2", "embedding", "all-MiniLM-L6-v2"),
        ("embedding:org/name", "embedding", "org/name"),
        ("run:C:/runs/{set}.trec", "run", "C:/runs/{set}.trec"),
    ],
)
def test_a_retriever_is_read(text, kind, value):
    assert retriever_spec(text) == (kind, value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bundled", ("local", None, None, None)),
        ("embedded", ("local", None, None, None)),
        ("local:/models/mine", ("local", "/models/mine", None, None)),
        ("local:./a@b/c", ("local", "./a@b/c", None, None)),
        ("local:org/name", ("local", "org/name", None, None)),
        ("local:org/name@v1.0", ("local", "org/name", "v1.0", None)),
        ("hosted:nvidia/m", ("hosted", "nvidia/m", None, None)),
        ("hosted:nvidia/m@http://nim:8000/v1", ("hosted", "nvidia/m", None, "http://nim:8000/v1")),
        ("hosted:http://nim:8000/v1", ("hosted", None, None, "http://nim:8000/v1")),
    ],
)
def test_a_scorer_is_read(text, expected):
    assert scorer_spec(text) == ScorerSpec(text, *expected)


@pytest.mark.parametrize("text", ["", "bm26", "bm25:x", "embedding:", "run: ", "run"])
def test_an_unknown_retriever_is_refused_with_what_there_is(text):
    with pytest.raises(ValueError, match=r"a retriever is bm25, embedding:NAME or run:FILE"):
        retriever_spec(text)


@pytest.mark.parametrize(
    "text", ["", "none", "bundled:x", "local:", "hosted:", "hosted:m@nowhere", "hosted:a b"]
)
def test_an_unknown_scorer_is_refused_with_what_there_is(text):
    with pytest.raises(ValueError, match="a scorer is bundled, local:FOLDER_OR_NAME"):
        scorer_spec(text)
