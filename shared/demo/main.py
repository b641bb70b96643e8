"""The demonstration: retrieve, rerank in two frameworks, compare, report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvrerank import NVRerankError, Scorer

from . import corpus, questions
from .corpus import TopicPassage
from .questions import DemoError, Question
from .scoring import Clock, RememberingScorer

if TYPE_CHECKING:
    from .pipelines import Answer, Hit

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "demo"


def bundled_scorer() -> Scorer:
    """The model that ships with the package, loaded."""
    from nvrerank import LocalScorer

    return LocalScorer().load()


def main(arguments: Sequence[str], make_scorer: Callable[[], Scorer] = bundled_scorer) -> int:
    """Runs the demonstration.

    Args:
        arguments: The command line without the program's name.
        make_scorer: Makes what scores.

    Returns:
        The exit status: 1 if something is wrong, with one line on stderr that says what.
    """
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and orders there too")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console may lack the arrows
    try:
        passages = corpus.passages()
        asked = questions.read(one.topic for one in passages)
        result = demonstrate(passages, asked, make_scorer, CACHE)
        if options.json:
            options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    except ModuleNotFoundError as error:
        return _failed(f"{error}: pip install '.[demo]'")
    except (NVRerankError, DemoError, OSError) as error:
        return _failed(str(error))
    return 0


def demonstrate(
    passages: Sequence[TopicPassage],
    asked: Sequence[Question],
    make_scorer: Callable[[], Scorer],
    cache: Path,
) -> dict[str, Any]:
    """Prints the whole report.

    Returns:
        Its figures, and the order of the passages for each question.

    Raises:
        DemoError: The two frameworks rank a question's passages differently.
    """
    clock = Clock()
    with clock.measure("loading"):
        from . import evaluation, pipelines, report, retrieval

        scorer = RememberingScorer(make_scorer(), clock)
    _say(report.opening(len(passages), len(asked), pipelines.CANDIDATES, scorer.name))

    answers = _both_frameworks(passages, asked, scorer, clock, cache)
    topics = [one.topics for one in asked]
    before = evaluation.evaluate([[hit.topic for hit in one.before] for one in answers], topics)
    after = evaluation.evaluate([[hit.topic for hit in one.after] for one in answers], topics)
    texts = {one.id: one.text for one in passages}
    for label, index in report.telling(before, after):
        _say(report.example(label, asked[index], answers[index], texts))
    _say(report.summary(before, after))
    _say(report.picture(before, after))
    _say(report.times(clock, scorer))
    return {
        "retriever": retrieval.RETRIEVER,
        "candidates": pipelines.CANDIDATES,
        "figures": {"before": before.mean, "after": after.mean},
        "gain": asdict(after.gain_over(before)),
        "seconds": {name: round(spent, 2) for name, spent in clock.seconds.items()},
        "questions": [
            {"ask": question.text, "topics": sorted(question.topics), **asdict(answer)}
            for question, answer in zip(asked, answers, strict=True)
        ],
    }


def _both_frameworks(
    passages: Sequence[TopicPassage],
    asked: Sequence[Question],
    scorer: RememberingScorer,
    clock: Clock,
    cache: Path,
) -> list[Answer]:
    from . import pipelines, retrieval

    texts, wanted = [one.text for one in passages], [one.text for one in asked]
    with clock.measure("embedding"):
        vectors = retrieval.embedded(texts, wanted, cache)
    with clock.measure("retrieval"):
        retrieved = retrieval.hybrid(texts, wanted, vectors, pipelines.CANDIDATES)
    ask_langchain = pipelines.with_langchain(passages, retrieved, scorer)
    ask_llamaindex = pipelines.with_llamaindex(passages, retrieved, scorer)
    answers = [ask_langchain(one.text) for one in asked]
    with clock.measure("LlamaIndex"):
        again = [ask_llamaindex(one.text) for one in asked]
    check_agreement(asked, [one.after for one in answers], again)
    return answers


def check_agreement(
    asked: Sequence[Question], first: Sequence[list[Hit]], second: Sequence[list[Hit]]
) -> None:
    """Compares two frameworks' rankings, question by question.

    Raises:
        DemoError: Passages, order or scores differ for a question.
    """
    for question, mine, theirs in zip(asked, first, second, strict=True):
        if mine != theirs:
            raise DemoError(f"LangChain and LlamaIndex rank the passages differently for: {question.text}")


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _failed(message: str) -> int:
    print(f"the demonstration failed: {message}", file=sys.stderr)
    return 1
