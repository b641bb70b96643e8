"""How a base_url is read, as LlamaIndex's official class reads it."""

import pytest

from nvrerank.nvidia_compat import with_endpoint


@pytest.mark.parametrize(
    ("base_url", "read"),
    [
        ("https://proxy/nim", "https://proxy/nim/ranking"),
        (" https://proxy/a/b/ ", "https://proxy/a/b/ranking"),
        ("http://nim:8000/v1", "http://nim:8000/v1"),
        ("http://nim:8000/v1/", "http://nim:8000/v1/"),
        ("http://nim:8000/p/v2", "http://nim:8000/p/v2"),
        ("http://nim:8000", "http://nim:8000"),
        ("http://nim:8000/", "http://nim:8000/"),
        ("http://nim:8000/v1/ranking", "http://nim:8000/v1/ranking"),
        ("http://nim:8000/x/reranking", "http://nim:8000/x/reranking"),
        ("http://vllm:8000/rerank", "http://vllm:8000/rerank"),
        ("bogus", "bogus"),
        ("http://", "http://"),
    ],
)
def test_a_prefix_gets_the_endpoint_and_all_else_stays(base_url: str, read: str) -> None:
    assert with_endpoint(base_url) == read
