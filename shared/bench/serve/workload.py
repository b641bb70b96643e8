"""What the server is asked: queries with passages of the project's own pages, scored by MiniLM in float32."""

from __future__ import annotations

from pathlib import Path

from bench.local.checkpoints import made
from bench.serve.callers import Asked, asked
from nvrerank import LocalScorer
from nvrerank.passages import cut

CALLERS, MODEL = 32, "reranker"
_CHARACTERS = 240  # of a passage: about 60 tokens
ROOT = Path(__file__).parents[3]


def jobs(size: int) -> list[tuple[str, list[str]]]:
    """32 different queries with so many passages of the project's own pages."""
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docs/local-models.md")]
    passages = [one.text[:_CHARACTERS] for page in pages for one in cut(page.read_text(encoding="utf-8"))]
    asked_of = []
    for number in range(CALLERS):
        texts = [passages[(number * 7 + place * 11) % len(passages)] for place in range(size)]
        asked_of.append((" ".join(texts[0].split()[:8]), texts))
    return asked_of


def workload(scorer: LocalScorer, size: int, *, path: str = "/v1/ranking") -> list[Asked]:
    """A request for each of `jobs`, with its scores."""
    wanted = [(query, texts, scorer.score(query, texts)) for query, texts in jobs(size)]
    return [asked(MODEL, *one, path=path) for one in wanted]


def model_folder() -> Path:
    """Where MiniLM lies, with a random head; made if it is not there yet."""
    return made("minilm", ROOT / "build" / "bench")[0]


def local_scorer() -> LocalScorer:
    """What scores without a server."""
    return LocalScorer(model_folder(), device="cpu", long_passages="truncate")
