"""The training loop, in a process for each core or one with a GPU. Knows groups of pairs and a model.

Each process has one thread, so that nothing waits for a busy core at every operation; gradients are averaged.
Weights are kept in float32 and multiplied in what the model's own are (bfloat16 where the CPU has it). A run
that was stopped goes on from `last.pt` with the next step's questions.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from nvrerank.local.bundled.network import TwoSegmentEncoder
from training.export import EXACT
from training.groups import Group, Scores
from training.pace import Pace

log = logging.getLogger(__name__)

RATES = {
    "gates": 2e-2,
    "weights": 5e-3,
    "match_vectors": 1e-3,
    "mix_up": 5e-4,
    "mix_pooled": 5e-4,
    "mix_down": 5e-4,
    "head": 5e-4,
}
RATE = 5e-5  # of everything else
LONGEST_GRADIENT = 3.0
KEPT = 0.998  # of the moving average, each step
POINTWISE = 0.3
"""Weight of a pointwise term, the cross-entropy of each candidate's probability. A listwise loss leaves every
query an offset of its own; with it alone scores of different queries don't compare, and no sigmoid of them is
a probability."""
POINTWISE_FROM = 5150  # steps: first the order, then what the scores mean
OFFSET, TEMPERATURE = 31.15, 1.567
"""How the term reads scores: a calibration fitted on held-out questions before it set in, so that it aligns
scores where they are. The one that ships is fitted after the training."""
REPORT = 25  # steps from one line of the log to the next
SAVE_SECONDS = 300

PICKED, PICKED_FROM = 0.35, 2842
"""In such a share of the steps, from this one on, the model itself picks the hardest negatives."""

TAUGHT, TAUGHT_FROM = 0.45, 6670
"""From this step on such a share of the questions is one that teachers judged."""

Draw = Callable[[Sequence[tuple[int, bool]], Scores | None], list[Group]]
"""Groups of a step's questions, each by its number and whether it is one that teachers judged; who picks."""


@dataclass
class Trained:
    """What a run is made of: parameters, their float32 masters, their moving average, the optimizer."""

    model: TwoSegmentEncoder
    parameters: dict[str, nn.Parameter]
    masters: dict[str, Tensor]
    mean: dict[str, Tensor]
    optimizer: torch.optim.AdamW
    step: int = 0
    pairs: int = 0

    @classmethod
    def of(cls, model: TwoSegmentEncoder, dtype: torch.dtype) -> Trained:
        """Takes a float32 model and has it compute in `dtype`."""
        parameters = dict(learning(model))
        masters = {name: one.detach().float().clone().requires_grad_() for name, one in parameters.items()}
        mean = {name: one.detach().clone() for name, one in masters.items()}
        optimizer = torch.optim.AdamW(list(parameter_groups(masters)), betas=(0.9, 0.98))
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if tensor.is_floating_point() and name.split(".")[0] not in EXACT:
                tensor.data = tensor.data.to(dtype)
        return cls(model, parameters, masters, mean, optimizer)

    def state(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """The whole model's tensors in float32, those that learn with these values."""
        whole = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in self.model.state_dict().items()
        }
        return whole | {name: one.detach() for name, one in values.items()}

    def resume(self, file: Path) -> None:
        """Goes on from a checkpoint."""
        saved = torch.load(file, map_location="cpu")
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.pairs = saved["step"], saved["pairs"]
        with torch.no_grad():
            for name, one in self.masters.items():
                one.copy_(saved["model"][name])
                self.mean[name].copy_(saved["mean"][name])

    def save(self, out: Path) -> None:
        """Writes `last.pt`, to go on from, and `mean.pt`, the averaged weights; no half file is ever seen."""
        whole = {
            "model": self.state(self.masters),
            "mean": self.mean,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "pairs": self.pairs,
        }
        for name, content in (("last.pt", whole), ("mean.pt", self.state(self.mean))):
            torch.save(content, out / "half")
            (out / "half").replace(out / name)

    def update(self, flat: Tensor, rate: float) -> None:
        """One step of the optimizer with gradients laid end to end."""
        sizes = [one.numel() for one in self.masters.values()]
        for one, part in zip(self.masters.values(), torch.split(flat, sizes), strict=True):
            one.grad = part.view_as(one)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            kept = min(KEPT, (self.step + 1) / (self.step + 10))
            for name, master in self.masters.items():
                self.parameters[name].copy_(master)
                self.mean[name].lerp_(master, 1 - kept)


def train(run: Trained, draw: Draw, pace: Pace, out: Path) -> None:
    """Trains in one of the processes of a group; the first one logs and saves."""
    began = saved = time.monotonic()
    losses = list[float]()
    while run.step < pace.steps and (passed := agreed(time.monotonic() - began)) < pace.seconds:
        first = (run.step * dist.get_world_size() + dist.get_rank()) * pace.per_process
        taught = taught_ones(run.step, dist.get_rank(), pace.per_process)
        picks = run.step >= PICKED_FROM and random.Random(f"picked {run.step}").random() < PICKED
        groups = draw([(first + n, one) for n, one in enumerate(taught)], run.model if picks else None)
        losses.append(backward(run.model, groups, POINTWISE if run.step >= POINTWISE_FROM else 0.0))
        flat = averaged([one.grad for one in run.parameters.values()], list(run.parameters.values()))
        run.pairs += dist.get_world_size() * sum(len(one.pairs) for one in groups)
        run.update(flat, pace.rate(run.step, passed))
        run.model.zero_grad()
        if run.step % REPORT == 0:
            mean = sum(losses[-REPORT:]) / len(losses[-REPORT:])
            log.info("step %d, %d pairs: loss %.4f", run.step, run.pairs, mean)
        if dist.get_rank() == 0 and time.monotonic() - saved > SAVE_SECONDS:
            run.save(out)
            saved = time.monotonic()
    if dist.get_rank() == 0:
        run.save(out)


def agreed(seconds: float) -> float:
    """The first process's number: all of them have to stop at the same step."""
    shared = torch.tensor(seconds, dtype=torch.float64)
    dist.broadcast(shared, 0)
    return float(shared)


def taught_ones(step: int, rank: int, count: int) -> list[bool]:
    """For each question of a step in a process, whether it is one that teachers judged."""
    chance = random.Random(f"taught {step} {rank}")
    return [step >= TAUGHT_FROM and chance.random() < TAUGHT for _ in range(count)]


def learning(model: TwoSegmentEncoder) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that learn: not the embeddings, nor the layers that read a text alone."""
    below = (f"layers.{number}." for number in range(model.config.first_crossing_layer))
    frozen = ("words.", "positions.", "embedding_norm.", *below)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
        if parameter.requires_grad:
            yield name, parameter


def parameter_groups(masters: dict[str, Tensor]) -> Iterator[dict[str, object]]:
    """Gives every tensor its learning rate and weight decay."""
    for name, one in masters.items():
        rate = next((rate for part, rate in RATES.items() if part in name.split(".")), RATE)
        decay = 0.01 * (one.ndim > 1 and "gates" not in name)
        yield {"params": [one], "initial_lr": rate, "lr": rate, "weight_decay": decay}


def backward(model: TwoSegmentEncoder, groups: Sequence[Group], pointwise: float = 0.0) -> float:
    """Scores all pairs of a step at once and pushes the gradients.

    Args:
        model: What learns.
        groups: The step's questions.
        pointwise: Weight of the pointwise term.

    Returns:
        The mean listwise cross-entropy of the positives, without the other terms.
    """
    scores = torch.split(
        model([pair for one in groups for pair in one.pairs]), [len(one.pairs) for one in groups]
    )
    hard, loss = [], []
    for one, own in zip(groups, scores, strict=True):
        likely = F.log_softmax(own, dim=0)
        soft = -(F.softmax(own.new_tensor(one.teacher), dim=0) * likely).sum()
        hard.append(-likely[0].detach())
        relevant = torch.zeros_like(own)
        relevant[0] = 1
        point = F.binary_cross_entropy_with_logits((own - OFFSET) / TEMPERATURE, relevant)
        listwise = -(1 - one.soft) * likely[0] + one.soft * soft
        loss.append(listwise + pointwise * one.pointwise * point)
    torch.stack(loss).mean().backward()  # type: ignore[no-untyped-call]
    return float(torch.stack(hard).mean())


def averaged(gradients: Sequence[Tensor | None], like: Sequence[Tensor]) -> Tensor:
    """The mean over the processes of all gradients end to end, float32, clipped in its length."""
    flat = torch.cat(
        [
            (torch.zeros_like(one) if grad is None else grad).float().flatten()
            for grad, one in zip(gradients, like, strict=True)
        ]
    )
    if dist.get_world_size() > 1:
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
    return flat * min(1.0, LONGEST_GRADIENT / (float(flat.norm()) + 1e-6))
