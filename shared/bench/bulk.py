"""`make bench-bulk`: what bulk scoring holds: memory, overhead, actors, a killed one, eight GPUs that sleep.

Quiet the machine first. Each part prints one line; `docs/bulk.md` has the figures.

    python -m bench.bulk [memory overhead actors killed eight_gpus] [--share 0.1]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.local.machine import machine
from nvrerank import LocalScorer, Scorer
from nvrerank.bulk import rerank_parquet
from nvrerank.bulk.inputs import source_of
from nvrerank.bulk.plan import shards_of
from nvrerank.bulk.ray_engine import RayActors, scored_on_ray
from nvrerank.bulk.sources import Columns
from nvrerank.local.settings import BUNDLED

_ROOT = Path(__file__).parents[2]
_PASSAGES = 10  # of a query
_BATCH = 1024


def write_pairs(path: Path, count: int, *, row_group: int = 1 << 30) -> list[tuple[str, list[str]]]:
    """A Parquet file, and jobs: queries of 8 words of the project's pages, 10 passages of 20 to 60 each."""
    pages = [one.read_text(encoding="utf-8") for one in sorted((_ROOT / "docs").glob("*.md"))]
    words, dice = [word for page in pages for word in page.split() if word.isalpha()], random.Random(0)

    def text(least: int, most: int) -> str:
        return " ".join(dice.choices(words, k=dice.randint(least, most)))

    jobs = [(text(8, 8), [text(20, 60) for _ in range(_PASSAGES)]) for _ in range(count // _PASSAGES)]
    pairs = {
        "query": [query for query, texts in jobs for _ in texts],
        "passage": [text for _, texts in jobs for text in texts],
    }
    pq.write_table(pa.table(pairs), path, row_group_size=row_group)
    return jobs


def write_model(folder: Path) -> Path:
    """A checkpoint of about the bundled model's size of file and its vocabulary, with one narrow layer."""
    transformers: Any = import_module("transformers")
    sizes = {"hidden_size": 384, "num_hidden_layers": 1, "num_attention_heads": 6, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=30_522, num_labels=1, **sizes)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((BUNDLED / "tokenizer.json").read_bytes())
    return folder


def memory(work: Path, share: float) -> str:
    """200,000 pairs of one row group, a model with a file of the bundled one's size; to hold: 1 GB more."""
    write_pairs(work / "in.parquet", int(200_000 * share))
    model = write_model(work / "model")
    command = [sys.executable, "-m", "bench.bulk", "--child", str(work), "--model", str(model)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 # ours
    return f"{told.strip()}; the model's file has {(model / 'model.safetensors').stat().st_size / 1e6:.0f} MB"


def streamed(work: Path, model: str) -> None:
    """What `memory` runs in a process of its own."""
    with LocalScorer(model) as scorer:
        scorer.score("a query", ["a passage"])
        loaded = _peak()
        report = rerank_parquet(work / "in.parquet", work / "out", scorer=scorer)
    print(f"{report.to_text().partition(': ')[2]}; peak {_peak()} MB, {loaded} MB once the model was loaded")


def _peak() -> int:
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(found[1]) >> 10 if found else 0


def overhead(work: Path, share: float) -> str:
    """`rerank_parquet` beside one `score_many` of all pairs, in turns; to hold: within 5 %."""
    lines = []
    for name, count in (("bundled", 600), (f"local:{write_model(work / 'model')}", 20_000)):
        jobs = write_pairs(work / "in.parquet", int(count * share))
        pairs = sum(len(texts) for _, texts in jobs)
        with LocalScorer() if name == "bundled" else LocalScorer(name.removeprefix("local:")) as scorer:
            scorer.score_many(jobs[:10])
            outputs = [work / f"out-{count}-{turn}" for turn in range(3)]
            rates = [(_rate(scorer, jobs), _bulk_rate(scorer, work, output)) for output in outputs]
        ours = [bulk / alone for alone, bulk in rates]
        own = statistics.median(alone for alone, _ in rates)
        lines.append(
            f"{'bundled' if name == 'bundled' else 'small'}: {pairs:,} pairs, score_many {own:,.0f} pairs/s, "
            f"bulk {statistics.median(ours):.3f} of it ({min(ours):.3f} to {max(ours):.3f})"
        )
    return "; ".join(lines)


def _rate(scorer: Scorer, jobs: Sequence[tuple[str, Sequence[str]]]) -> float:
    started = time.perf_counter()
    scorer.score_many(jobs)
    return sum(len(texts) for _, texts in jobs) / (time.perf_counter() - started)


def _bulk_rate(scorer: Scorer, work: Path, output: Path) -> float:
    return rerank_parquet(work / "in.parquet", output, scorer=scorer).pairs_per_second


def actors(work: Path, share: float) -> str:
    """The bundled model in one Ray actor of one thread, then in two; to hold: 1.7 times the rate.

    The rate is that between the shards' times, without the first quarter, in which actors start.
    """
    write_pairs(work / "in.parquet", int(3000 * share))
    rates = []
    for count in (1, 2):
        output, size = work / f"out-{count}", 32
        rerank_parquet(
            work / "in.parquet",
            output,
            scorer="bundled",
            engine="ray",
            actors=count,
            batch_size=size,
            shard_rows=size,
        )
        times = sorted(part.stat().st_mtime for part in output.glob("part-*"))
        times = times[len(times) // 4 :]
        rates.append(size * (len(times) - 1) / (times[-1] - times[0]))
    return f"one {rates[0]:.1f} pairs/s, two {rates[1]:.1f}: {rates[1] / rates[0]:.2f} times"


class Sleeper(Scorer):
    """Takes as long as a GPU that scores `rate` pairs a second, and notes how many it was asked."""

    def __init__(self, rate: float, log: Path) -> None:
        self._rate, self._log = rate, log

    def _score(self, query: str, passages: Sequence[str]) -> list[float]:
        return self._score_many([(query, passages)])[0]

    def _score_many(self, calls: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        pairs = sum(len(texts) for _, texts in calls)
        with self._log.open("a") as log:
            log.write(f"{os.getpid()} {pairs} {time.time()}\n")
        time.sleep(pairs / self._rate)
        return [[float(len(text)) for text in texts] for _, texts in calls]


def _sleeping(work: Path, rate: float, *, pool: RayActors, kill: bool = False) -> tuple[int, float]:
    """Scores pairs with sleepers; how many they were asked in all, and how many a second once all run."""
    log = work / f"log-{rate:.0f}-{pool.count}"
    log.touch()
    killer = threading.Thread(target=_kill_one, args=(log,), daemon=True)
    source = source_of([work / "in.parquet"], Columns())
    shards = shards_of(source.layout(), 16_384)
    if kill:
        killer.start()
    scored = scored_on_ray(source, shards, _BATCH, partial(Sleeper, rate, log), pool)
    for batch, answer in scored:
        source.with_scores(batch, answer)
    ended, first, asked = time.time(), dict[str, float](), list[tuple[float, int]]()
    for actor, pairs, began in map(str.split, log.read_text().splitlines()):
        first.setdefault(actor, float(began))
        asked.append((float(began), int(pairs)))
    all_run = max(first.values())
    seconds = ended - all_run
    return sum(pairs for _, pairs in asked), sum(
        pairs for began, pairs in asked if began >= all_run
    ) / seconds


def _kill_one(log: Path) -> None:
    """Kills an actor amid its third batch or so."""
    while len(lines := log.read_text().splitlines()) < 6:
        time.sleep(0.01)
    os.kill(int(lines[-1].split()[0]), signal.SIGKILL)


def killed(work: Path, share: float) -> str:
    """Two actors, one killed amid a batch; to hold: at most that batch is scored again."""
    count = int(20_480 * share)
    write_pairs(work / "in.parquet", count)
    asked, _ = _sleeping(work, 2000, pool=RayActors(2, cpus=0.5), kill=True)
    return f"{count:,} pairs, {asked - count:,} scored again; a batch has {_BATCH:,}"


def eight_gpus(work: Path, share: float) -> str:
    """Eight actors that sleep as long as GPUs would work, and as fast as rows can be fed to them."""
    lines = []
    write_pairs(work / "in.parquet", int(160_000 * share), row_group=16_384)
    for name, rate in (("1,569", 1569), ("no limit", 1e9)):
        _, reached = _sleeping(work, rate, pool=RayActors(8, cpus=0.1))
        lines.append(f"{name} pairs/s each: {reached:,.0f} pairs/s in all")
    return "; ".join(lines)


PARTS = {part.__name__: part for part in (memory, overhead, actors, killed, eight_gpus)}


def main() -> None:
    """Runs the parts that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--share", type=float, default=1.0, help="of the pairs, for a try")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        streamed(arguments.child, arguments.model)
        return
    print(json.dumps(machine()))
    for name in arguments.parts or PARTS:
        with TemporaryDirectory() as work:
            started = time.monotonic()
            found = PARTS[name](Path(work), arguments.share)
            print(f"{name}: {found} ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
