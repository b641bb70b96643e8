"""Reranking measured: each retriever's top 40 before and after, by set, with paired bootstrap intervals.

`evaluate` scores sets and writes one file for each; `--report` reads all of them and writes the tables.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from embedded.bfloat16 import in_bfloat16
from embedded.corpora import EVAL_SETS, EvalSet, read_eval_set
from embedded.export import load
from embedded.metrics import interval, measure
from embedded.pairs import Texts
from embedded.retrieval import Ranking, bm25_top, embedding_top

DEPTH = 40
RETRIEVERS = ("BM25", "MiniLM")
METRICS = ("R@1", "R@5", "nDCG@10")
Score = Callable[[str, Sequence[str]], list[float]]


def evaluate(
    chosen: EvalSet, score: Score, *, sample: int, cache: Path, depth: int = DEPTH
) -> list[dict[str, object]]:
    """Rank and rerank a fixed sample of a set's queries; one record for each query."""
    ids, texts = list(chosen.passages), list(chosen.passages.values())
    keys = sorted(random.Random(0).sample(sorted(chosen.queries), min(sample, len(chosen.queries))))
    order = list(chosen.queries)
    by_words = bm25_top(texts, [chosen.queries[key] for key in keys], depth)
    by_meaning: Ranking = embedding_top(texts, list(chosen.queries.values()), depth, cache=cache)
    records: list[dict[str, object]] = []
    for row, key in enumerate(keys):
        found = {"BM25": by_words[row].tolist(), "MiniLM": by_meaning[order.index(key)].tolist()}
        union = sorted({place for places in found.values() for place in places})
        scores = dict(zip(union, score(chosen.queries[key], [texts[place] for place in union]), strict=True))
        record: dict[str, object] = {
            "query": key,
            "scores": {ids[place]: value for place, value in scores.items()},
        }
        for name, places in found.items():
            after = sorted(places, key=lambda place: -scores[place])  # stable: ties keep their order
            for label, ranking in ((name, places), (f"{name} reranked", after)):
                record[label] = measure([ids[place] for place in ranking], chosen.relevant[key])
        records.append(record)
    return records


def scorer(folder: Path, *, budget: int = 2000, fast: bool = False) -> Score:
    """Return a function that scores passages with an exported model, in batches of about `budget` tokens."""
    model, texts = load(folder), Texts.from_file(folder / "tokenizer.json")
    if fast:
        in_bfloat16(model)

    def score(query: str, passages: Sequence[str]) -> list[float]:
        pairs = texts.pairs(query, passages)
        scores = torch.zeros(len(pairs))
        batch: list[int] = []
        for place in sorted(range(len(pairs)), key=lambda place: -len(pairs[place][1])):
            batch.append(place)
            if sum(len(pairs[one][1]) for one in batch) >= budget:
                scores[batch], batch = model([pairs[one] for one in batch]), []
        if batch:
            scores[batch] = model([pairs[one] for one in batch])
        return [float(value) for value in scores]

    return torch.inference_mode()(score)


def report(folder: Path) -> dict[str, object]:
    """Join the files of all sets into means and gains with intervals."""
    sets = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("set-*.json"))
    }
    result: dict[str, object] = {"queries": {name: len(records) for name, records in sets.items()}}
    for retriever in RETRIEVERS:
        for metric in METRICS:
            before, after = (
                {name: np.array([r[label][metric] for r in records]) for name, records in sets.items()}
                for label in (retriever, f"{retriever} reranked")
            )
            gains = {name: after[name] - before[name] for name in sets}
            rows = {name: interval({name: gain}) for name, gain in gains.items()} | {
                "average": interval(gains)
            }
            result[f"{retriever} {metric}"] = {
                name: {
                    "before": float(
                        np.mean([before[one].mean() for one in ([name] if name in sets else sets)])
                    ),
                    "after": float(
                        np.mean([after[one].mean() for one in ([name] if name in sets else sets)])
                    ),
                    "gain": gain,
                    "interval": [low, high],
                }
                for name, (gain, low, high) in rows.items()
            }
    return result


def table(result: dict[str, object]) -> str:
    """The report as Markdown: before, after, and the gain with its interval."""
    lines = []
    for key, rows in result.items():
        if key == "queries" or not isinstance(rows, dict):
            continue
        lines += [f"\n{key} | before | reranked | gain | 95 % interval", "--- | --- | --- | --- | ---"]
        for name, row in rows.items():
            low, high = row["interval"]
            lines.append(
                f"{name.removeprefix('set-')} | {row['before']:.3f} | {row['after']:.3f}"
                f" | {row['gain']:+.3f} | {low:+.3f} to {high:+.3f}"
            )
    return "\n".join(lines)


def main() -> None:
    """Evaluate the sets that were asked for, or report on what was evaluated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the folder with eval/")
    parser.add_argument("--cache", type=Path, help="embeddings and the base model are kept here")
    parser.add_argument("--model", type=Path, help="the exported model's folder")
    parser.add_argument(
        "--out", type=Path, required=True, help="one file for each set, report.json and report.md"
    )
    parser.add_argument("--sets", nargs="*", default=[], help=f"of {', '.join(EVAL_SETS)}")
    parser.add_argument("--sample", type=int, default=150, help="queries of each set")
    parser.add_argument("--depth", type=int, default=DEPTH, help="candidates of each retriever")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--bfloat16", action="store_true", help="multiply in bfloat16: quicker, a little less exact"
    )
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.sets or (EVAL_SETS if args.model else ()):
        began = time.monotonic()
        score = scorer(args.model, fast=args.bfloat16)
        chosen = read_eval_set(args.data / "eval", name)
        records = evaluate(chosen, score, sample=args.sample, cache=args.cache, depth=args.depth)
        (args.out / f"set-{name}.json").write_text(json.dumps(records), encoding="utf-8")
        print(f"{name}: {len(records)} queries in {time.monotonic() - began:.0f} s", flush=True)
    if args.report:
        result = report(args.out)
        (args.out / "report.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
        (args.out / "report.md").write_text(table(result) + "\n", encoding="utf-8")
        print(table(result))


if __name__ == "__main__":
    main()
