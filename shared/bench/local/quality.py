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

import numpy as np

from bench.local.contestants import OURS, Peer, chosen
from bench.local.field import Field, why_not
from bench.local.processes import ROOT, WorkerError
from bench.local.rounds import Entrant
from bench.local.shapes import SHAPES
from bench.local.tuning import Settings
from bench.local.workloads import Workload
from embedded.corpora import read_eval_set
from embedded.metrics import interval, ndcg_at
from embedded.retrieval import bm25_top

SETS = ("nq_hard", "xquad", "chunking_eval", "pubmedqa", "tatqa", "hotpotqa_mini")
Labels = list[list[bool]]


@dataclass(frozen=True)
class Questions:
    """Labelled questions of one set.

    Attributes:
        name: The set's.
        jobs: (query, candidates) each.
        relevant: For each job which candidates are relevant.
        missing: For each job how many relevant passages are not among the candidates.
    """

    name: str
    jobs: list[tuple[str, list[str]]]
    relevant: Labels
    missing: list[int]


def questions(data: Path, name: str, *, sample: int, depth: int) -> Questions:
    """A fixed sample of a set's questions with BM25's first candidates, in a random but fixed order."""
    chosen_set = read_eval_set(data / "eval", name)
    ids, texts = list(chosen_set.passages), list(chosen_set.passages.values())
    keys = random.Random(0).sample(sorted(chosen_set.queries), min(sample, len(chosen_set.queries)))
    asked = [chosen_set.queries[key] for key in keys]
    found = Questions(name, [], [], [])
    for key, query, places in zip(keys, asked, bm25_top(texts, asked, depth).tolist(), strict=True):
        random.Random(key).shuffle(places)  # so that scores that are all equal gain nothing from BM25's order
        gold = chosen_set.relevant[key]
        found.jobs.append((query, [texts[place] for place in places]))
        found.relevant.append([ids[place] in gold for place in places])
        found.missing.append(len(gold - {ids[place] for place in places}))
    return found


def ndcgs(scores: Sequence[Sequence[float]], asked: Questions) -> list[float]:
    """nDCG@10 of each question; ties keep the candidates' order.

    Args:
        scores: Logits of each job's candidates.
        asked: The questions.
    """
    figures = []
    for mine, labels, missing in zip(scores, asked.relevant, asked.missing, strict=True):
        order = sorted(range(len(mine)), key=lambda place: -mine[place])
        gold = {str(place) for place, label in enumerate(labels) if label}
        gold |= {f"missing {number}" for number in range(missing)}
        figures.append(ndcg_at(10, [str(place) for place in order], gold))
    return figures


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
        self._workloads = [Workload(one.name, one.name, "minilm", tuple(one.jobs), one.name) for one in asked]
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
        loss, seconds = _loss(self._asked, self._float32, figures), sum(turn.seconds for turn in turns)
        words = f"{entrant.label:18} {_mean(figures):8.4f} {loss:>28} {seconds:8.1f}"
        print(f"{words}  {self._by_set(figures)}", flush=True)

    def _figures(self, scores: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
        return [ndcgs(mine, one) for mine, one in zip(scores, self._asked, strict=True)]

    def _by_set(self, figures: Sequence[Sequence[float]]) -> str:
        means = (statistics.mean(mine) for mine in figures)
        return " ".join(f"{one.name} {mean:.3f}" for one, mean in zip(self._asked, means, strict=True))


def _entrant(peer: Peer, field: Field, settings: Settings) -> Entrant:
    found = settings.get("minilm-1x100", peer.name, other_mode=True)
    if peer.name == OURS or found is None or not field.runs(found["worker"]):
        return Entrant(peer.name, peer.name, peer.workers[0].name, peer.default, peer.precision)
    return Entrant(peer.name, peer.name, found["worker"], found["settings"], peer.precision)


def _loss(asked: Sequence[Questions], before: Sequence[list[float]], after: Sequence[list[float]]) -> str:
    losses = {
        one.name: np.array(reference) - np.array(mine)
        for one, reference, mine in zip(asked, before, after, strict=True)
    }
    mean, low, high = interval(losses)
    return f"{mean:+.4f} ({low:+.4f}..{high:+.4f})"


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
