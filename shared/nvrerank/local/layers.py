"""What our models are built of: attention over packed sequences, and linear layers in 8-bit integers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .settings import LARGEST_INT8, multiplies_bfloat16
from .tokenization import PairEncoder, TokenPair

# Up to so many tokens a CPU is faster with the whole matrix of scores than with the fused kernel's blocks.
_SHORT = 192
# Rows of a batch in bfloat16 on a CPU come in multiples of so many: oneDNN compiles a kernel for each number
# of rows, which takes ten times as long as to run it.
FILL, _FILL_FIRSTS = 64, 16
_LARGEST_HEAD = 256  # for FlashAttention, which also wants multiples of 8


class Reranker(nn.Module):
    """What families compute with.

    Attributes:
        context: Tokens that it has positions for.
    """

    context: int

    def logits(self, batch: Sequence[TokenPair]) -> Tensor:
        """Token ids of a batch to raw logits, float32: [pairs]."""
        raise NotImplementedError

    def expand(self) -> None:
        """Makes of weights that were just loaded in a packed form what is computed with."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to score.

    Attributes:
        encoder: Texts to token ids.
        context: Tokens of query and passage together that it reads.
        forward: Token ids of a batch to raw logits, float32: [pairs]
        listwise: Whether `forward` takes a query's whole list, and no part of it.
    """

    encoder: PairEncoder
    context: int
    forward: Callable[[Sequence[TokenPair]], Tensor]
    listwise: bool = False


@dataclass(frozen=True)
class Packing:
    """Where the sequences of a batch lie, end to end.

    Attributes:
        lengths: Tokens of each sequence.
        device: Where the batch lives.
        causal: Whether a token sees those before it alone, and not all of its sequence.
        fill: There are a multiple of so many rows: those after the last sequence belong to none.
    """

    lengths: Sequence[int]
    device: torch.device
    causal: bool = False
    fill: int = 1

    @cached_property
    def spare(self) -> int:
        """Rows after the last sequence; what becomes of them is nobody's."""
        return -sum(self.lengths) % self.fill

    @cached_property
    def positions(self) -> Tensor:
        """Each token's place in its own sequence, from 0: [tokens + spare]."""
        places = [*map(torch.arange, self.lengths), torch.zeros(self.spare, dtype=torch.long)]
        return placed(torch.cat(places), self.device)

    @cached_property
    def starts(self) -> Tensor:
        """Where each sequence begins, and the end of the last: [sequences + 1], int32."""
        return placed(torch.tensor([0, *accumulate(self.lengths)], dtype=torch.int32), self.device)

    @cached_property
    def first_tokens(self) -> Tensor:
        """The place of each sequence's first token: [sequences + spare]."""
        return functional.pad(self.starts[:-1].long(), (0, self.firsts.spare))

    @cached_property
    def firsts(self) -> Packing:
        """Where the first tokens lie when they are taken out: one row a sequence."""
        return Packing([1] * len(self.lengths), self.device, fill=min(self.fill, _FILL_FIRSTS))

    def split(self, rows: Tensor) -> Sequence[Tensor]:
        """Each sequence's rows of [tokens + spare, ...]."""
        return torch.split(rows, [*self.lengths, self.spare])[:-1]

    def means(self, hidden: Tensor) -> Tensor:
        """The mean over each sequence's tokens, in float32: [tokens, hidden] -> [sequences, hidden]."""
        if hidden.is_cuda:  # all at once: a launch costs more than a short sequence's mean
            return torch.segment_reduce(hidden.float(), "mean", offsets=self.starts.long(), unsafe=True)
        return torch.stack([rows.float().mean(0) for rows in self.split(hidden)])


def placed(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU there; a GPU fetches it from pinned memory, while the caller goes on."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def pack(batch: Sequence[TokenPair], like: Tensor, *, causal: bool = False) -> tuple[Tensor, Packing]:
    """Token ids end to end, [tokens + spare], and where each pair's lie; `like` is a weight of the model."""
    fill = FILL if like.dtype == torch.bfloat16 and like.device.type == "cpu" else 1
    packing = Packing([len(pair.ids) for pair in batch], like.device, causal, fill)
    ids = [token for pair in batch for token in pair.ids] + [0] * packing.spare
    return placed(torch.tensor(ids), like.device), packing


def attend(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, *, asking: Packing | None = None
) -> Tensor:
    """Scaled dot-product attention within each sequence.

    Args:
        query: [rows, heads, size]
        key: [tokens, key heads, size]; fewer heads than the query's are shared by groups.
        value: [tokens, key heads, size]
        packing: Where the sequences lie.
        asking: Where each sequence's rows of `query` lie; None: as `packing`, a row for each token.

    Returns:
        [rows, heads * size]
    """
    half, size = query.dtype in (torch.float16, torch.bfloat16), query.shape[-1]
    if query.is_cuda and half and size % 8 == 0 and size <= _LARGEST_HEAD and _has_flash(query.device):
        return attend_varlen(query, key, value, packing, asking=asking)
    return attend_in_turn(query, key, value, packing, asking=asking)


def attend_in_turn(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, *, asking: Packing | None = None
) -> Tensor:
    """As `attend`, one sequence after the other: any device, any dtype."""
    grouped, causal = query.shape[1] != key.shape[1], packing.causal
    kernel = partial(_sdpa, causal=causal, grouped=grouped) if grouped or causal else _plain
    rows = asking or packing
    mixed = query.new_zeros(query.shape)  # [rows, heads, size]; those to spare stay 0
    for target, q, k, v in zip(
        *map(rows.split, (mixed, query)), *map(packing.split, (key, value)), strict=True
    ):  # the kernels take [heads, length, size]
        target.transpose(0, 1).copy_(kernel(q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)))
    return mixed.flatten(1)


def attend_varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    *,
    asking: Packing | None = None,
    kernel: Callable[..., Tensor | tuple[Tensor, ...]] | None = None,
) -> Tensor:
    """As `attend`, by FlashAttention in one kernel; `kernel` may be another of the same signature."""
    call = kernel
    if call is None:
        from torch.nn.attention.varlen import varlen_attn  # loads torch's compiler, which takes a second

        call = cast("Callable[..., Tensor]", varlen_attn)
    rows, grouped = asking or packing, query.shape[1] != key.shape[1]
    told = {"enable_gqa": True} if grouped and _wants_to_know(call) else {}
    mixed = call(
        query,
        key,
        value,
        rows.starts,
        packing.starts,
        max(rows.lengths),
        max(packing.lengths),
        window_size=(-1, 0 if packing.causal else -1),  # to the left all, to the right none or all
        **told,
    )  # [rows, heads, size]
    return cast("Tensor", mixed).flatten(1)


@cache
def _has_flash(device: torch.device) -> bool:
    """Whether torch was built with FlashAttention and the GPU is an Ampere or later."""
    built: bool = torch.backends.cuda.is_flash_attention_available()
    return built and torch.cuda.get_device_capability(device) >= (8, 0)


@cache
def _wants_to_know(kernel: Callable[..., object]) -> bool:
    """Whether it is told that heads are shared; before torch 2.12 it saw so by itself."""
    return "enable_gqa" in inspect.signature(kernel).parameters


def _sdpa(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool = False, grouped: bool = False
) -> Tensor:
    return functional.scaled_dot_product_attention(
        query[None], key[None], value[None], is_causal=causal, enable_gqa=grouped
    )[0]


def _plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    if query.device.type != "cpu" or query.dtype != torch.float32 or key.shape[1] > _SHORT:
        return _sdpa(query, key, value)
    nothing = query.new_zeros(1)
    logits = torch.baddbmm(nothing, query, key.transpose(1, 2), beta=0, alpha=query.shape[2] ** -0.5)
    return torch.bmm(torch.softmax(logits, -1), value)


class Linear(nn.Linear):
    """A linear layer that takes rows of any precision; what it returns is in its weight's.

    In bfloat16 on a CPU that multiplies it, `pack` lays the weight out once as oneDNN's kernel reads it: that
    saves doing so at each call, and takes the activation into the kernel. In float32 it gains nothing.
    """

    activation = "none"
    packed: Tensor | None = None

    @property
    def takes(self) -> torch.dtype:
        """What it multiplies in."""
        return self.weight.dtype

    def pack(self) -> None:
        """Lays the weight out where that pays and torch can; gives the plain weight's memory back."""
        if self.weight.device.type != "cpu" or self.takes != torch.bfloat16 or not multiplies_bfloat16():
            return
        try:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight)  # noqa: SLF001
        except AttributeError:  # no public name of torch's
            return
        self.weight = nn.Parameter(self.weight.new_empty(0), requires_grad=False)

    def forward(self, rows: Tensor) -> Tensor:
        """[rows, in] -> [rows, out]."""
        rows = rows.to(self.weight.dtype)
        if self.packed is None:
            return self.activate(super().forward(rows))
        kernel = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
        return kernel(rows, self.packed, self.bias, self.activation, [], "none")  # type: ignore[no-any-return]

    def activate(self, rows: Tensor) -> Tensor:
        """What follows the product where the kernel doesn't do so."""
        return rows


class GeluLinear(Linear):
    """With GELU after the product."""

    activation = "gelu"

    def activate(self, rows: Tensor) -> Tensor:
        """As promised by `Linear`."""
        return functional.gelu(rows)


class Int8Linear(nn.Module):
    """A linear layer whose weight is stored and multiplied as int8.

    A weight is rounded once, with a scale for each output; an input as it comes, with a scale for each token,
    so that a score still depends on its own pair alone. The product is exact in 32-bit integers. Rounding is
    symmetric, to -127..127 (https://arxiv.org/abs/2004.09602, section 3.1.2).

    Args:
        linear: The layer it stands for; float32.
    """

    takes = torch.float32

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._activation = linear.activate if isinstance(linear, Linear) else None
        scale = _scale(linear.weight)  # [out, 1]
        self.weight = nn.Buffer(_rounded(linear.weight, scale).T.contiguous())  # [in, out]
        self.scale = nn.Buffer(scale[:, 0])  # [out]
        self.bias: Tensor | None = linear.bias

    def forward(self, rows: Tensor) -> Tensor:
        """[..., in] -> [..., out], float32."""
        flat = rows.flatten(0, -2)  # [rows, in]
        scale = _scale(flat)  # [rows, 1]
        out = by_integers(_rounded(flat, scale), self.weight).float().mul_(scale).mul_(self.scale)
        if self.bias is not None:
            out.add_(self.bias)
        if self._activation is not None:
            out = self._activation(out)
        return out.reshape(*rows.shape[:-1], -1)


def pack_linear(module: nn.Module) -> None:
    """Has each `Linear` of a loaded module lay its weight out for the CPU's kernel."""
    for layer in module.modules():
        if isinstance(layer, Linear):
            layer.pack()


def quantize(module: nn.Module, body: str) -> int:
    """Puts an `Int8Linear` in the place of each linear layer below `body`; poolers and heads stay.

    Args:
        module: A loaded model, float32, on the CPU.
        body: What the names of the layers begin with.

    Returns:
        How many there were.
    """
    found = [
        (name, layer)
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and name.startswith(body) and "pooler" not in name
    ]
    for name, layer in found:
        module.set_submodule(name, Int8Linear(layer))
    return len(found)


def by_integers(rows: Tensor, weight: Tensor) -> Tensor:
    """The product in the CPU's own 8-bit instructions: int32, exact."""
    return torch._int_mm(rows, weight)  # noqa: SLF001  # torch has no other


def _scale(rows: Tensor) -> Tensor:
    """What one step of the integers stands for in each row: [rows, 1]."""
    largest = torch.maximum(rows.amax(1, keepdim=True), rows.amin(1, keepdim=True).neg_())
    return largest.div_(LARGEST_INT8).clamp_(min=1e-30)  # its reciprocal stays finite


def _rounded(rows: Tensor, scale: Tensor) -> Tensor:
    return (rows * scale.reciprocal()).round_().to(torch.int8)
