"""What scores are worth on labelled questions: nDCG@10 beside float32's, from one checkpoint.

For lower precisions: their loss, new ties, and the seconds of the same run. Candidates are the first that
BM25 finds for each question.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.local.checkpoints import CHECKPOINTS
from bench.local.engines.ours import default_precision
from bench.local.peers import LOWER_PRECISION, OURS, Peer, chosen
from bench.local.pool import ROOT, WorkerError, WorkerPool
from bench.local.rounds import Configuration
from bench.local.tuning import TuningCache
from bench.local.workloads import Workload
from nvrerank.evaluation import Task, read_set
from nvrerank.evaluation.metrics import Stratum, interval, measured, metrics
from nvrerank.evaluation.retrieval import by_words

SETS = ("nq_hard", "xquad", "chunking_eval", "pubmedqa", "tatqa", "hotpotqa_mini")
Scores = Sequence[Sequence[float]]


@dataclass(frozen=True)
class LabelledSet:
    """A sample of a set's questions."""

    task: Task
    candidates: dict[str, list[str]]  # for each query ids of passages, in a random but fixed order

    @classmethod
    def read(cls, folder: Path, *, sample: int, depth: int) -> LabelledSet:
        """A fixed sample of a set's questions with BM25's first candidates."""
        [task] = read_set(folder, query_languages=["en"], passage_languages=["en"], limit_queries=sample)
        candidates = {key: list(found) for key, found in by_words(task, depth).items() if found}
        for key, ids in candidates.items():
            random.Random(key).shuffle(ids)  # so that equal scores gain nothing from BM25's order
        return cls(task, candidates)

    def workload(self) -> Workload:
        """The questions, each with its candidates' texts."""
        name, texts = self.task.name, self.task.passages
        groups = (
            (self.task.queries[key], [texts[one] for one in ids]) for key, ids in self.candidates.items()
        )
        return Workload(name, name, "minilm", tuple(groups), name)

    def ndcgs(self, scores: Scores) -> list[float]:
        """nDCG@10 of each question, from the logits of its candidates; ties keep the candidates' order."""
        orders = {
            key: [ids[place] for place in sorted(range(len(ids)), key=lambda place: -mine[place])]
            for (key, ids), mine in zip(self.candidates.items(), scores, strict=True)
        }
        return list(measured(self.task.judged, orders, metrics("nDCG@10"))["nDCG@10"].values())


def main() -> None:
    """Scores each set with each peer; prints means, losses against float32, ties and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="what train_cross_encoder wrote")
    parser.add_argument("--data", type=Path, required=True, help="the folder with eval/")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--peers", default=",".join(LOWER_PRECISION))
    parser.add_argument("--sample", type=int, default=50, help="questions of each set")
    parser.add_argument("--depth", type=int, default=20, help="candidates of each question")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench", help="has the settings found")
    parser.add_argument("--venvs", type=Path, default=ROOT)
    given = parser.parse_args()
    sets = [
        LabelledSet.read(given.data / "eval" / name, sample=given.sample, depth=given.depth)
        for name in given.sets.split(",")
    ]
    tuned = TuningCache(given.out / "settings.json", "quiet")
    folder, spec = given.model.resolve(), CHECKPOINTS["minilm"]
    with tempfile.TemporaryDirectory() as logs, WorkerPool(folder, spec, given.venvs, Path(logs)) as pool:
        peers = chosen(given.peers, "minilm", default_precision())
        pool.start(peers)
        _print_table(pool, sets, [(peer, _configuration(peer, pool, tuned)) for peer in peers])


def _configuration(peer: Peer, pool: WorkerPool, tuned: TuningCache) -> Configuration:
    known = (tuned.get("minilm-1x100", worker.name, other_mode=True) for worker in peer.workers)
    found = [one for one in known if one is not None and pool.runs(one["worker"])]
    if peer.name == OURS or not found:
        return Configuration(peer.name, peer.name, peer.workers[0].name, peer.default, peer.precision)
    best = min(found, key=lambda one: min(map(statistics.median, one["tried"].values())))
    return Configuration(peer.name, peer.name, best["worker"], best["settings"], peer.precision)


def _print_table(
    pool: WorkerPool, sets: Sequence[LabelledSet], rows: Iterable[tuple[Peer, Configuration]]
) -> None:
    workloads = [one.workload() for one in sets]
    for workload in workloads:
        pool.load(workload)
    reference = [pool.reference(workload) for workload in workloads]
    float32, chance = _ndcgs(sets, reference), random.Random(0)
    by_chance = [[[chance.random() for _ in texts] for _query, texts in one.groups] for one in workloads]
    heads = ("loss (95 % interval)", "ties", "seconds")
    print(f"{'configuration':26} nDCG@10 {heads[0]:>28} {heads[1]:>5} {heads[2]:>8}  by set")
    print(f"{'float32 reference':26} {_mean(float32):7.4f} {'':28} {_ties(reference):5}")
    print(f"{'in random order':26} {_mean(_ndcgs(sets, by_chance)):7.4f}", flush=True)
    for peer, configuration in rows:
        if (reason := pool.why_not(peer)) is not None:
            print(f"{peer.name:26} not run: {reason}")
            continue
        found = [pool.measure(configuration, workload) for workload in workloads]
        ndcgs, ties = _ndcgs(sets, [one.scores for one in found]), _ties([one.scores for one in found])
        by_set = zip(sets, map(statistics.mean, ndcgs), strict=True)
        means = " ".join(f"{one.task.name} {mean:.3f}" for one, mean in by_set)
        seconds = sum(one.seconds for one in found)
        words = f"{peer.name:26} {_mean(ndcgs):7.4f} {_loss(float32, ndcgs):>28} {ties:5} {seconds:8.1f}"
        print(f"{words}  {means}", flush=True)


def _ndcgs(sets: Sequence[LabelledSet], scores: Sequence[Scores]) -> list[list[float]]:
    return [one.ndcgs(mine) for one, mine in zip(sets, scores, strict=True)]


def _ties(scores: Sequence[Scores]) -> int:
    """Passages that have the score of another of the same question."""
    return sum(len(mine) - len(set(mine)) for of_set in scores for mine in of_set)


def _loss(before: Scores, after: Scores) -> str:
    losses = [
        [old - new for old, new in zip(reference, mine, strict=True)]
        for reference, mine in zip(before, after, strict=True)
    ]
    low, high = interval([Stratum(1 / len(losses), of_set) for of_set in losses])
    return f"{_mean(losses):+.4f} ({low:+.4f}..{high:+.4f})"


def _mean(figures: Scores) -> float:
    return statistics.mean(map(statistics.mean, figures))


if __name__ == "__main__":
    try:
        main()
    except WorkerError as error:
        raise SystemExit(f"stopped: {error}") from error
