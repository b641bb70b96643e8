"""The training loop, in one process for each core. Knows groups of pairs and a model, no files of data.

Each process has one thread, so that nothing waits for a busy core at every operation; gradients are averaged.
"""

from __future__ import annotations

import copy
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from nvrerank.local.bundled_model import TwoSegmentEncoder
from training.pairs import Pair

log = logging.getLogger(__name__)

RATES = {
    "gates": 3e-2,
    "weights": 1e-2,
    "match_vectors": 1e-3,
    "mix_up": 1e-3,
    "mix_down": 1e-3,
    "head": 5e-4,
}
RATE = 6e-5  # of everything else
WARMUP = 60  # steps
LONGEST_GRADIENT = 5.0
KEPT = 0.998  # of the moving average, each step
REPORT = 25  # steps from one line of the log to the next
SAVE_SECONDS = 240

Draw = Callable[[int, random.Random], list[Pair]]  # the group of the n-th question, the positive first


@dataclass(frozen=True)
class Pace:
    """How long to train; whatever comes first ends the run, and the learning rate reaches zero there."""

    steps: int
    minutes: float
    per_worker: int = 2  # questions a step
    began: float = field(default_factory=time.monotonic)

    def progress(self, step: int) -> float:
        """From 0 to 1; the same in every process, by the first one's clock."""
        minutes = torch.tensor([(time.monotonic() - self.began) / 60])
        dist.broadcast(minutes, 0)
        return max(step / self.steps, float(minutes) / self.minutes)


def train(model: TwoSegmentEncoder, draw: Draw, pace: Pace, out: Path) -> None:
    """Train in one of the processes of a group; the first one logs and saves `last.pt` and `mean.pt`."""
    optimizer = torch.optim.AdamW(list(parameter_groups(model)))
    trained = [p for p in model.parameters() if p.requires_grad]
    mean = [p.detach().clone() for p in trained]
    saved, losses = time.monotonic(), list[float]()
    for step in range(pace.steps):
        if (progress := pace.progress(step)) >= 1:
            break
        for one in optimizer.param_groups:
            one["lr"] = one["initial_lr"] * min(1.0, (step + 1) / WARMUP, 1 - progress)
        first = (step * dist.get_world_size() + dist.get_rank()) * pace.per_worker
        groups = [draw(first + n, random.Random(f"0 {first} {n}")) for n in range(pace.per_worker)]
        losses.append(backward(model, groups))
        average_gradients(trained)
        optimizer.step()
        optimizer.zero_grad()
        torch._foreach_lerp_(mean, [p.detach() for p in trained], 1 - min(KEPT, (step + 1) / (step + 10)))
        if step % REPORT == REPORT - 1:
            log.info("step %d, %.0f %%: loss %.4f", step + 1, progress * 100, sum(losses[-REPORT:]) / REPORT)
        if dist.get_rank() == 0 and time.monotonic() - saved > SAVE_SECONDS:
            save(model, mean, out)
            saved = time.monotonic()
    if dist.get_rank() == 0:
        save(model, mean, out)


def parameter_groups(model: TwoSegmentEncoder) -> Iterator[dict[str, object]]:
    """Freeze the embeddings and the layers below the gates; give every other tensor its learning rate."""
    below = (f"layers.{number}." for number in range(model.config.first_crossing_layer))
    frozen = ("words.", "positions.", "embedding_norm.", *below)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
        if parameter.requires_grad:
            rate = next((rate for part, rate in RATES.items() if part in name.split(".")), RATE)
            decay = 0.01 * (parameter.ndim > 1)
            yield {"params": [parameter], "initial_lr": rate, "lr": rate, "weight_decay": decay}


def backward(model: TwoSegmentEncoder, groups: Sequence[Sequence[Pair]]) -> float:
    """Score all pairs of a step at once and push the gradients of the mean listwise loss."""
    scores = torch.split(model([pair for one in groups for pair in one]), [len(one) for one in groups])
    loss = torch.stack([-F.log_softmax(one, dim=0)[0] for one in scores]).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, clipped in its length."""
    flat = torch.cat([(p.new_zeros(p.shape) if p.grad is None else p.grad).flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    flat *= min(1.0, LONGEST_GRADIENT / (float(flat.norm()) + 1e-6))
    for parameter, part in zip(parameters, torch.split(flat, [p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)


def save(model: TwoSegmentEncoder, mean: Sequence[Tensor], out: Path) -> None:
    """Save the weights as they are and their moving average; no half file is ever seen."""
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    averaged = copy.deepcopy(model.state_dict()) | dict(zip(names, mean, strict=True))
    for name, state in (("last.pt", model.state_dict()), ("mean.pt", averaged)):
        torch.save(state, out / "half")
        (out / "half").replace(out / name)
