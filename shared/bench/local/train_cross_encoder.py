"""A cross-encoder of MiniLM's size whose ranking means something: to measure what int8 loses, not for use.

all-MiniLM-L6-v2 as an ordinary BERT cross-encoder, `[CLS] query [SEP] passage [SEP]`, pooler and one linear
unit; listwise cross-entropy over one positive and BM25's negatives, for so many minutes. Ordinary pair
encoding starts far behind the bundled model, which is another architecture that the peers can't run.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from bench.local.checkpoints import minilm_source, save_minilm
from bench.local.workloads import QueryGroup
from nvrerank.evaluation.retrieval import bm25
from training.corpora import TrainingRow, read_rows

SOURCES = ("squadshifts_new_wiki", "selqa", "ottqa_hybridqa_dev", "stackexchange")
NEGATIVES = 3
QUERIES_A_STEP = 8
RATE = 2e-4


def listwise_examples(rows: list[TrainingRow], count: int, chance: random.Random) -> list[QueryGroup]:
    """(query, positive and then negatives), negatives from BM25's first 30 of the same source."""
    found: list[QueryGroup] = []
    for source in SOURCES:
        mine = [row for row in rows if row.source == source and len(row.text) > len(row.query)]
        texts = list(dict.fromkeys(row.text for row in mine))
        asked = chance.sample(mine, min(count // len(SOURCES), len(mine)))
        for row, places in zip(asked, bm25(texts, [row.query for row in asked], 30), strict=True):
            wrong = [text for text in map(texts.__getitem__, places) if _is_wrong(text, row)]
            if len(wrong) >= NEGATIVES:
                found.append((row.query, [row.text, *chance.sample(wrong, NEGATIVES)]))
    chance.shuffle(found)
    return found


def _is_wrong(text: str, row: TrainingRow) -> bool:
    return text != row.text and not (row.answer and row.answer.lower() in text.lower())


def train(model: Any, tokenizer: Any, examples: list[QueryGroup], *, minutes: float, max_length: int) -> None:
    """Trains until the time is over, going round again if need be; the embeddings stay as they are."""
    model.bert.embeddings.requires_grad_(requires_grad=False)  # half of the parameters, the slowest to learn
    head = [*model.classifier.parameters(), *model.bert.pooler.parameters()]
    body = list(model.bert.encoder.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": head, "lr": 10 * RATE}, {"params": body, "lr": RATE}], weight_decay=0.01
    )
    began, losses = time.monotonic(), list[float]()
    while (spent := (time.monotonic() - began) / (60 * minutes)) < 1:
        start = len(losses) * QUERIES_A_STEP
        batch = [examples[(start + number) % len(examples)] for number in range(QUERIES_A_STEP)]
        for group, peak in zip(optimizer.param_groups, (10 * RATE, RATE), strict=True):
            group["lr"] = peak * min(1.0, 30 * spent) * (1 - spent)  # up, then down to zero
        inputs = tokenizer(
            [query for query, texts in batch for _text in texts],
            [text for _query, texts in batch for text in texts],
            padding=True,
            truncation="only_second",
            max_length=max_length,
            return_tensors="pt",
        )
        logits = model(**inputs).logits.view(len(batch), NEGATIVES + 1)
        loss = torch.nn.functional.cross_entropy(logits, torch.zeros(len(batch), dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*head, *body], 1.0)
        optimizer.step()
        losses.append(float(loss))
        if len(losses) % 50 == 0:
            print(f"step {len(losses)}, loss {sum(losses[-50:]) / 50:.3f}", flush=True)


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
    rows = list(read_rows(sorted((arguments.data / "train").glob("*.jsonl"))))
    examples = listwise_examples(rows, arguments.queries, random.Random(0))
    with tempfile.TemporaryDirectory() as work:
        source = minilm_source(Path(work))
        model = BertForSequenceClassification.from_pretrained(
            source, num_labels=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        tokenizer = AutoTokenizer.from_pretrained(source)
        train(model.train(), tokenizer, examples, minutes=arguments.minutes, max_length=arguments.tokens)
        arguments.out.mkdir(parents=True)
        save_minilm(arguments.out, model, source)


if __name__ == "__main__":
    main()
