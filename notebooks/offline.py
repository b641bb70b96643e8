"""What the notebooks search and search with, offline: the handbook, the vectors of a small model, BM25's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from zipfile import ZipFile
from zlib import crc32

from bm25s.stopwords import STOPWORDS_EN  # type: ignore[import-untyped]

HANDBOOK = Path(__file__).parent / "handbook"


def chapters() -> dict[str, str]:
    """The handbook's chapters by name."""
    files = sorted(HANDBOOK.glob("*.md"))
    return {file.stem: file.read_text(encoding="utf-8") for file in files if file.name != "README.md"}


def paragraphs() -> list[tuple[str, str]]:
    """The handbook's paragraphs, each with the name of its chapter."""
    return [
        (name, " ".join(paragraph.split()))
        for name, text in chapters().items()
        for paragraph in text.split("\n\n")
        if not paragraph.startswith("#")
    ]


class MiniLM:
    """all-MiniLM-L6-v2 out of its package, which holds it as a zip; a LangChain `Embeddings` by its methods.

    With a network it is `HuggingFaceEmbeddings("sentence-transformers/all-MiniLM-L6-v2")`.
    """

    def __init__(self) -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]
        found = find_spec("all_minilm_l6_v2")
        if found is None or found.origin is None:
            raise ModuleNotFoundError("no all_minilm_l6_v2: pip install -e '.[notebook]'")
        with TemporaryDirectory() as folder, ZipFile(Path(found.origin).with_name("model.zip")) as zipped:
            zipped.extractall(folder)
            self.model = SentenceTransformer(folder, device="cpu")

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector a text."""
        vectors = self.model.encode(list(texts), batch_size=8, show_progress_bar=False)
        return [[float(number) for number in vector] for vector in vectors]

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        return self.embed_documents([text])[0]


class Sparse(NamedTuple):
    """The words of a text: a number for each, and what it weighs."""

    indices: list[int]
    values: list[float]


class Bm25:
    """BM25 as sparse vectors; langchain-qdrant's `SparseEmbeddings` by its methods.

    A document's vector holds what its words weigh in it, a question's a 1 for each word. Qdrant weighs a word
    by its rarity (the modifier "idf"), and their product is BM25 (Robertson and Zaragoza, 2009; k1 = 1.2,
    b = 0.75). With a network it is `FastEmbedSparse("Qdrant/bm25")`, which takes words by their stems.

    Args:
        average: Words of an average passage.
    """

    def __init__(self, average: float = 50) -> None:
        self.average = average

    def embed_documents(self, texts: Sequence[str]) -> list[Sparse]:
        """A vector a text."""
        return [self._weighed(Counter(_words(text))) for text in texts]

    def embed_query(self, text: str) -> Sparse:
        """The vector of a question."""
        words = sorted(set(_words(text)))
        return Sparse([crc32(word.encode()) for word in words], [1.0] * len(words))

    def _weighed(self, counts: Counter[str]) -> Sparse:
        norm = 1.2 * (0.25 + 0.75 * counts.total() / self.average)
        values = [count * 2.2 / (count + norm) for count in counts.values()]
        return Sparse([crc32(word.encode()) for word in counts], values)


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if word not in STOPWORDS_EN]
