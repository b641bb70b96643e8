"""What the demonstration prints: plain text of at most 100 columns. Pure: gives lines, prints none."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence

from .evaluation import Figures
from .pipelines import Answer, Hit
from .questions import Question
from .retrieval import RETRIEVER
from .scoring import Clock, RememberingScorer

WIDTH = 100
SHOWN = 5
PLACES = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, 20), (0, 0))
BAR, BARS = "█", 32  # a bar of all questions is so long


def opening(passages: int, questions: int, candidates: int, scorer: str) -> Iterator[str]:
    """What is about to happen."""
    version = platform.python_version()
    yield f"Python {version}'s own documentation: {passages:,} passages, {questions} questions."
    yield f"{RETRIEVER} find {candidates} passages for each; {scorer} puts them in a new order."
    yield "✓ marks a passage of a topic that answers; fused (by reciprocal ranks) and logit are the scores."


def telling(before: Figures, after: Figures) -> list[tuple[str, int]]:
    """Three questions by index that show the range: the greatest gain, the middle, the greatest loss."""
    gains = after.gains_over(before)
    order = sorted(range(len(gains)), key=lambda index: -gains[index])
    last = "The greatest loss" if gains[order[-1]] < 0 else "The smallest gain"
    labels = ("The greatest gain", "The middle one", last)
    return list(zip(labels, (order[0], order[len(order) // 2], order[-1]), strict=True))


def example(label: str, question: Question, answer: Answer, texts: Mapping[str, str]) -> Iterator[str]:
    """One question: its first five before and after, with both scores and the movement.

    Args:
        label: Why this question is shown.
        question: The question and the topics that get a tick.
        answer: Its candidates in both orders.
        texts: The text of each passage by id.
    """
    old, new = _placed(answer.before), _placed(answer.after)
    yield ""
    yield f"{label}: {question.text}"
    for title, order, head in (("before", answer.before, ""), ("after", answer.after, "moved")):
        yield f"  {title:<7} {head:<9}  fused   logit   passage"
        for place, hit in enumerate(order[:SHOWN], start=1):
            (old_place, fused), (new_place, logit) = old[hit.id], new[hit.id]
            moved = movement(old_place, new_place) if head else ""
            tick = "✓" if hit.topic in question.topics else " "
            text = " ".join(texts[hit.id].removeprefix(hit.topic).split())
            row = f"  {place:>4}    {moved:<9} {fused:6.4f} {logit:7.2f} {tick} {hit.id}  {text}"
            yield row if len(row) <= WIDTH else row[: WIDTH - 1].rstrip() + "…"


def movement(before: int, after: int) -> str:
    """How a passage moved: "↑3", "↓2", "=", and "new" if it was below those that are shown."""
    if before == after:
        return "="
    moved = f"↑{before - after}" if after < before else f"↓{after - before}"
    return f"{moved} new" if before > SHOWN >= after else moved


def summary(before: Figures, after: Figures) -> Iterator[str]:
    """The measures before and after, the gain, and how many questions moved."""
    count, gain = len(after.ndcg), after.gain_over(before)
    same = count - gain.better - gain.worse
    yield ""
    yield f"{f'All {count} questions':<24}" + "".join(f"{name:>10}" for name in before.mean)
    for title, figures in (("BM25 + embedding", before), ("reranked", after)):
        yield f"  {title:<22}" + "".join(f"{value:10.3f}" for value in figures.mean.values())
    yield "  R@1: a right topic comes first. Recall@5: share of the right topics among the first five."
    yield f"  nDCG@10 gains {gain.mean:+.3f} (95 % interval {gain.low:+.3f} to {gain.high:+.3f})"
    yield f"  {gain.better} answered better, {gain.worse} worse, {same} as before"


def picture(before: Figures, after: Figures) -> Iterator[str]:
    """How many questions have their first right topic where, before and after, as bars."""
    yield ""
    yield f"{'First right topic in place':<28}{'BM25 + embedding':<36}reranked"
    for low, high in PLACES:
        counts = [sum(low <= place <= high for place in one.first) for one in (before, after)]
        bars = [f"{BAR * round(BARS * count / len(before.first))} {count}" for count in counts]
        name = "none" if high == 0 else f"{low}" if low == high else f"{low} to {high}"
        yield f"  {name:<26}{bars[0]:<36}{bars[1]}"


def times(clock: Clock, scorer: RememberingScorer) -> Iterator[str]:
    """Where the time went, and what the second framework did not have to do again."""
    speed = scorer.scored / max(clock.seconds["reranking"], 1e-9)
    notes = {
        "embedding": "multilingual-e5-small; its vectors stay in .cache for the next run",
        "reranking": f"{scorer.scored:,} pairs, {speed:.0f} a second, in a LangChain chain",
        "LlamaIndex": f"the same ranking; its {scorer.remembered:,} pairs were scored before and remembered",
    }
    yield ""
    yield "Where the time went"
    for name, spent in clock.seconds.items():
        yield f"  {name:<14}{spent:7.1f} s   {notes.get(name, '')}".rstrip()
    yield f"  {'together':<14}{clock.total():7.1f} s"


def _placed(hits: Sequence[Hit]) -> dict[str, tuple[int, float]]:
    return {hit.id: (place, hit.score) for place, hit in enumerate(hits, start=1)}
