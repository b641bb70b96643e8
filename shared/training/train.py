"""Training: mine the questions, fit the start, and let `loop` do the rest in a process for each core."""

from __future__ import annotations

import argparse
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from nvrerank.evaluation.embedding import MINILM, Embedder
from nvrerank.local.bundled_model import TwoSegmentEncoder
from training.corpora import read_rows
from training.loop import Pace, train
from training.mining import QUESTIONS, Question, mine
from training.pairs import Texts, group
from training.start import base_model, fit_weights, from_bert, in_bfloat16, set_frequencies

log = logging.getLogger(__name__)

FEWEST = 8  # negatives a question must have
FITTED = 400  # questions that the start's weights are fitted on
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class Plan:
    """What `train` was asked to do."""

    data: Path
    cache: Path
    out: Path
    steps: int
    minutes: float
    workers: int
    first_crossing_layer: int


def questions(data: Path, cache: Path) -> list[Question]:
    """Mine every source and mix what was found; the order is that of training."""
    chance, found = random.Random(0), list[Question]()
    rows, embedder = read_rows(data / "train"), Embedder(MINILM, cache, device="cpu")
    for source, wanted in QUESTIONS.items():
        mined = mine([row for row in rows if row.source == source], embedder)
        mined = [one for one in mined if len(one.negatives) >= FEWEST]
        found += chance.sample(mined, min(wanted, len(mined)))
    chance.shuffle(found)
    return found


def start(plan: Plan, found: Sequence[Question], texts: Texts) -> TwoSegmentEncoder:
    """Build the model that training starts from: MiniLM, the passages' frequencies, fitted weights."""
    model = from_bert(base_model(plan.cache), first_crossing_layer=plan.first_crossing_layer)
    passages = sorted({passage.full for one in found for passage in (one.positive, *one.negatives)})
    set_frequencies(model, [texts.ids(text, 512) for text in passages], texts.numbers(SPECIAL))
    in_bfloat16(model)
    fit_weights(model, (group(one, texts, random.Random(n)) for n, one in enumerate(found[:FITTED])))
    log.info("start weights %s", [round(weight, 2) for weight in model.weights.tolist()])
    return model


def work(rank: int, plan: Plan, found: list[Question]) -> None:
    """Train in one of the processes."""
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING if rank else logging.INFO, format="%(asctime)s %(message)s")
    dist.init_process_group("gloo", f"file://{plan.out}/rendezvous", rank=rank, world_size=plan.workers)
    model = from_bert(base_model(plan.cache), first_crossing_layer=plan.first_crossing_layer)
    model.load_state_dict(torch.load(plan.out / "start.pt"))
    in_bfloat16(model)
    texts = Texts.from_file(base_model(plan.cache) / "tokenizer.json")
    pace = Pace(plan.steps, plan.minutes)
    train(model, lambda n, chance: group(found[n % len(found)], texts, chance), pace, plan.out)
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    """Mine, fit the start, train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder with train/")
    parser.add_argument(
        "--cache", type=Path, required=True, help="embeddings and the base model are kept here"
    )
    parser.add_argument("--out", type=Path, required=True, help="checkpoints: start.pt, last.pt, mean.pt")
    parser.add_argument("--steps", type=int, default=1469, help="of four questions each")
    parser.add_argument("--minutes", type=float, default=600, help="ends the run before its steps are done")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--first-crossing-layer", type=int, default=2)
    plan = Plan(**vars(parser.parse_args()))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan.out.mkdir(parents=True, exist_ok=True)
    (plan.out / "rendezvous").unlink(missing_ok=True)
    found = questions(plan.data, plan.cache)
    log.info("%d questions mined", len(found))
    texts = Texts.from_file(base_model(plan.cache) / "tokenizer.json")
    torch.save(start(plan, found, texts).state_dict(), plan.out / "start.pt")
    spawn(work, args=(plan, found), nprocs=plan.workers)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
