"""`make bench`: local scoring beside its peers, in one process and in turns.

Same work for all: the same checkpoint, passages and device, tokenisation included, scores compared with
ours in the same run. The ratio is taken round by round, so that a machine whose speed drifts moves both.
"""

from __future__ import annotations

import logging
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch

from bench.workloads import QUERY, minilm_cross_encoder, passages
from nvrerank import LocalScorer

ROUNDS = 5
Score = Callable[[str, Sequence[str]], Sequence[float]]


def contenders(folder: Path) -> dict[str, Score]:
    """Ours first, then sentence-transformers at its default and at the best batch size found, then naive."""
    from sentence_transformers import CrossEncoder

    ours = LocalScorer(folder, device="cpu").load()
    theirs = CrossEncoder(str(folder), device="cpu", local_files_only=True, activation_fn=torch.nn.Identity())

    def sentence_transformers(batch_size: int) -> Score:
        return lambda query, texts: theirs.predict(
            [(query, text) for text in texts], batch_size=batch_size, show_progress_bar=False
        ).tolist()

    return {
        "nvrerank": ours.score,
        "sentence-transformers, batch 32 (default)": sentence_transformers(32),
        "sentence-transformers, batch 8": sentence_transformers(8),
        "sentence-transformers, batch 4": sentence_transformers(4),
        "sentence-transformers, batch 1": sentence_transformers(1),
        "naive transformers, padded batches of 32": naive(theirs),
    }


def naive(model: object) -> Score:
    """Batches in input order, padded to the longest of the batch."""
    tokenizer, network = model.tokenizer, model.model  # type: ignore[attr-defined]

    def score(query: str, texts: Sequence[str]) -> list[float]:
        scores: list[float] = []
        for start in range(0, len(texts), 32):
            batch = texts[start : start + 32]
            inputs = tokenizer(
                [query] * len(batch), list(batch), padding=True, truncation=True, return_tensors="pt"
            )
            with torch.inference_mode():
                scores += network(**inputs).logits[:, 0].tolist()
        return scores

    return score


def measured(contestants: dict[str, Score], texts: Sequence[str]) -> dict[str, list[float]]:
    """Seconds of each round, every contestant in each round, the order turned round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(ROUNDS + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.perf_counter()
            contestants[name](QUERY, texts)
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
    return seconds


def report(title: str, contestants: dict[str, Score], texts: Sequence[str]) -> None:
    """Prints a table: median seconds, the ratio to ours round by round, the largest difference of scores."""
    reference = contestants["nvrerank"](QUERY, texts)
    seconds = measured(contestants, texts)
    print(f"\n{title}\n{'':44} median    against ours (least..most)   scores differ by")
    for name, times in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(times, seconds["nvrerank"], strict=True)]
        apart = max(abs(a - b) for a, b in zip(reference, contestants[name](QUERY, texts), strict=True))
        spread = f"{statistics.median(ratios):5.2f}x ({min(ratios):.2f}..{max(ratios):.2f})"
        print(f"{name:44} {statistics.median(times):5.2f} s   {spread:27}  {apart:.1e}")


def embedded(texts: Sequence[str]) -> None:
    """Prints how long the embedded model takes."""
    scorer = LocalScorer(device="cpu").load()
    scorer.score(QUERY, texts)
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        scorer.score(QUERY, texts)
        seconds.append(time.perf_counter() - started)
    spread = f"{min(seconds):.2f}..{max(seconds):.2f}"
    print(f"\nembedded model, 1 query x {len(texts)} passages: {statistics.median(seconds):.2f} s ({spread})")


def main() -> None:
    """Runs all workloads."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, load before the run {load:.1f}")
    print(f"{ROUNDS} rounds after one to warm up; a ratio above 1 means that ours is faster")
    with tempfile.TemporaryDirectory() as scratch:
        contestants = contenders(minilm_cross_encoder(Path(scratch)))
        report("1 query x 100 passages of 190 tokens on average, MiniLM-L6 size", contestants, passages(100))
        uneven = [*passages(23, words=40), *passages(1, words=420)]
        report("1 query x 24 passages, one of them long", contestants, uneven)
    embedded(passages(100, words=84))  # 145 tokens on average


if __name__ == "__main__":
    main()
