import pytest

from nvrerank.evaluation.retrieval import retriever_spec


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


@pytest.mark.parametrize("text", ["", "bm26", "bm25:x", "embedding:", "run: ", "run"])
def test_an_unknown_retriever_is_refused_with_what_there_is(text):
    with pytest.raises(ValueError, match=r"a retriever is bm25, embedding:NAME or run:FILE"):
        retriever_spec(text)
