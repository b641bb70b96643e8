"""What a contestant's scores are worth on labelled questions: nDCG@10 beside float32's, from one checkpoint.

For int8: its loss, and the seconds of the same run. Candidates are BM25's first of each question.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.local.contestants import OURS, Peer, chosen
from bench.local.field import Field, why_not
from bench.local.processes import ROOT, WorkerError
from bench.local.rounds import Entrant
from bench.local.shapes import SHAPES
from bench.local.tuning import Settings
from bench.local.workloads import Workload
from nvrerank.evaluation import Task, read_set
from nvrerank.evaluation.metrics import Stratum, interval, measured, metrics
from nvrerank.evaluation.retrieval import by_words

SETS = ("nq_hard", "xquad", "chunking_eval", "pubmedqa", "tatqa", "hotpotqa_mini")


@dataclass(frozen=True)
class Questions:
    """Labelled questions of one set.

    Attributes:
        task: The set.
        candidates: For each query ids of passages, in a random but fixed order.
    """

    task: Task
    candidates: dict[str, list[str]]

    @property
    def jobs(self) -> list[tuple[str, list[str]]]:
        """(query, candidates) each."""
        texts = self.task.passages
        return [(self.task.queries[key], [texts[one] for one in ids]) for key, ids in self.candidates.items()]


def questions(data: Path, name: str, *, sample: int, depth: int) -> Questions:
    """A fixed sample of a set's questions with BM25's first candidates."""
    folder = data / "eval" / name
    [task] = read_set(folder, query_languages=["en"], passage_languages=["en"], limit_queries=sample)
    candidates = {key: list(found) for key, found in by_words(task, depth).items() if found}
    for key, ids in candidates.items():
        random.Random(key).shuffle(ids)  # so that scores that are all equal gain nothing from BM25's order
    return Questions(task, candidates)


def ndcgs(scores: Sequence[Sequence[float]], asked: Questions) -> list[float]:
    """nDCG@10 of each question; ties keep the candidates' order.

    Args:
        scores: Logits of each job's candidates.
        asked: The questions.
    """
    orders = {}
    for (key, ids), mine in zip(asked.candidates.items(), scores, strict=True):
        orders[key] = [ids[place] for place in sorted(range(len(ids)), key=lambda place: -mine[place])]
    return list(measured(asked.task.judged, orders, metrics("nDCG@10"))["nDCG@10"].values())


def main() -> None:
    """Scores each set with each contestant; prints means, losses against float32 and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="what train_cross_encoder wrote")
    parser.add_argument("--data", type=Path, required=True, help="the folder with eval/")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--peers", default="nvrerank-int8,onnxruntime-int8,openvino-int8")
    parser.add_argument("--sample", type=int, default=50, help="questions of each set")
    parser.add_argument("--depth", type=int, default=20, help="candidates of each question")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench", help="has the settings found")
    parser.add_argument("--venvs", type=Path, default=ROOT)
    given = parser.parse_args()
    asked = [
        questions(given.data, name, sample=given.sample, depth=given.depth) for name in given.sets.split(",")
    ]
    settings = Settings(given.out / "settings.json", "quiet")
    with (
        tempfile.TemporaryDirectory() as logs,
        Field(given.model.resolve(), SHAPES["minilm"], given.venvs, Path(logs)) as field,
    ):
        peers = chosen(given.peers, "minilm")
        field.start(peers)
        check = Check(field, asked)
        check.reference()
        for peer in peers:
            reason = why_not(peer, field)
            if reason is None:
                check.contestant(_entrant(peer, field, settings))
            else:
                print(f"{peer.name:18} not run: {reason}")


class Check:
    """Scores all questions and prints a line for each contestant.

    Args:
        field: The workers, started.
        asked: The questions of each set.
    """

    def __init__(self, field: Field, asked: Sequence[Questions]) -> None:
        self._field, self._asked = field, asked
        self._float32: list[list[float]] = []
        self._workloads = [
            Workload(one.task.name, one.task.name, "minilm", tuple(one.jobs), one.task.name) for one in asked
        ]
        for workload in self._workloads:
            field.hand_out(workload)

    def reference(self) -> None:
        """The float32 reference, which the losses are against, and what chance gives."""
        scores = [self._field.reference(workload) for workload in self._workloads]
        self._float32 = self._figures(scores)
        print(f"{'contestant':18} {'nDCG@10':>8} {'loss (95 % interval)':>28} {'seconds':>8}  by set")
        print(f"{'float32 reference':18} {_mean(self._float32):8.4f} {'':37}  {self._by_set(self._float32)}")
        print(f"{'in random order':18} {_mean(_random(self._asked)):8.4f}", flush=True)

    def contestant(self, entrant: Entrant) -> None:
        """One contestant."""
        turns = [self._field.turn(entrant, one, gemm=0, spinner=None) for one in self._workloads]
        figures = self._figures([turn.scores for turn in turns])
        loss, seconds = _loss(self._float32, figures), sum(turn.seconds for turn in turns)
        words = f"{entrant.label:18} {_mean(figures):8.4f} {loss:>28} {seconds:8.1f}"
        print(f"{words}  {self._by_set(figures)}", flush=True)

    def _figures(self, scores: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
        return [ndcgs(mine, one) for mine, one in zip(scores, self._asked, strict=True)]

    def _by_set(self, figures: Sequence[Sequence[float]]) -> str:
        means = (statistics.mean(mine) for mine in figures)
        return " ".join(f"{one.task.name} {mean:.3f}" for one, mean in zip(self._asked, means, strict=True))


def _entrant(peer: Peer, field: Field, settings: Settings) -> Entrant:
    found = settings.get("minilm-1x100", peer.name, other_mode=True)
    if peer.name == OURS or found is None or not field.runs(found["worker"]):
        return Entrant(peer.name, peer.name, peer.workers[0].name, peer.default, peer.precision)
    return Entrant(peer.name, peer.name, found["worker"], found["settings"], peer.precision)


def _loss(before: Sequence[list[float]], after: Sequence[list[float]]) -> str:
    losses = [
        [old - new for old, new in zip(reference, mine, strict=True)]
        for reference, mine in zip(before, after, strict=True)
    ]
    low, high = interval([Stratum(1 / len(losses), of_set) for of_set in losses])
    return f"{_mean(losses):+.4f} ({low:+.4f}..{high:+.4f})"


def _mean(figures: Sequence[Sequence[float]]) -> float:
    return statistics.mean(statistics.mean(mine) for mine in figures)


def _random(asked: Sequence[Questions]) -> list[list[float]]:
    chance = random.Random(0)
    return [ndcgs([[chance.random() for _ in texts] for _query, texts in one.jobs], one) for one in asked]


if __name__ == "__main__":
    try:
        main()
    except WorkerError as error:
        raise SystemExit(f"stopped: {error}") from error
