"""From a training checkpoint to the files that ship: safetensors in float16, config.json, tokenizer.json."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from nvrerank.local.bundled_model import TwoSegmentConfig, TwoSegmentEncoder

MODEL_TYPE = "nvrerank_two_segment"


def average(states: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """Weighted mean of checkpoints, tensor by tensor; the shares add up to 1."""
    return {
        name: sum(
            (share * state[name].double() for state, share in zip(states, shares, strict=True)),
            torch.zeros(()),
        ).float()
        for name in states[0]
    }


def export(state: dict[str, Tensor], config: TwoSegmentConfig, tokenizer: Path, out: Path) -> None:
    """Write the model's folder: float16 weights, sizes, and the tokenizer without padding or truncation."""
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.half().contiguous() for name, tensor in state.items()}, out / "model.safetensors")
    (out / "model.safetensors").chmod(0o644)  # it goes into a wheel
    settings = {"model_type": MODEL_TYPE, "architectures": [TwoSegmentEncoder.__name__], **asdict(config)}
    (out / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    plain = Tokenizer.from_file(str(tokenizer))
    plain.no_padding()
    plain.no_truncation()
    plain.save(str(out / "tokenizer.json"), pretty=False)


def main() -> None:
    """Average the checkpoints that are given and export the result."""
    from training.start import base_model, config_of

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument(
        "--shares", type=float, nargs="*", help="a share for each checkpoint; equal if not given"
    )
    parser.add_argument("--first-crossing-layer", type=int, default=2)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    shares = args.shares or [1 / len(args.checkpoints)] * len(args.checkpoints)
    state = average([torch.load(path) for path in args.checkpoints], shares)
    base = base_model(args.cache)
    export(state, config_of(base, args.first_crossing_layer), base / "tokenizer.json", args.out)


if __name__ == "__main__":
    main()
