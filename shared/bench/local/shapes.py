"""What a model's linear layers cost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Shape:
    """A transformer's sizes.

    Attributes:
        hidden: Width of a token.
        intermediate: Width inside the feed-forward part.
        layers: How many.
        heads: Query heads.
        key_heads: Key and value heads.
        head: Width of a head.
        vocabulary: Entries of the embedding table.
        max_length: Tokens of query and passage together that all contestants read.
        gated: Whether the feed-forward part has a gate, a third matrix.
        first: What a library that knows only pairs is given as the first text.
        second: The second.
    """

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_heads: int
    head: int
    vocabulary: int
    max_length: int
    gated: bool = True
    first: str = "question:{query} \n \n passage"
    second: str = ":{passage}"

    def of_depth(self, layers: int | None) -> Shape:
        """The same with so many layers; an encoder of real weights keeps its own."""
        return replace(self, layers=layers) if layers and self.gated else self

    def decoder_linears(self) -> dict[str, tuple[int, int]]:
        """(outputs, inputs) of a decoder layer's matrices, by their names in a checkpoint."""
        inner, shared = self.heads * self.head, self.key_heads * self.head
        return {
            "self_attn.q_proj": (inner, self.hidden),
            "self_attn.k_proj": (shared, self.hidden),
            "self_attn.v_proj": (shared, self.hidden),
            "self_attn.o_proj": (self.hidden, inner),
            "mlp.gate_proj": (self.intermediate, self.hidden),
            "mlp.up_proj": (self.intermediate, self.hidden),
            "mlp.down_proj": (self.hidden, self.intermediate),
        }

    def pair(self, query: str, passage: str) -> tuple[str, str]:
        """The two texts of a pair."""
        return self.first.format(query=query), self.second.format(passage=passage)


def linear_flops(shape: Shape, lengths: Sequence[int]) -> int:
    """Operations of the layers' linear parts on the real tokens, every row of every layer; 2 for each weight.

    No padding, no attention, no embedding, no head. The same number is divided by each contestant's seconds,
    also where it computes fewer rows (only those the head needs) or more (padding).

    Args:
        shape: The model's.
        lengths: Tokens of each pair.
    """
    inner, shared = shape.heads * shape.head, shape.key_heads * shape.head
    attention = 2 * inner * shape.hidden + 2 * shared * shape.hidden
    feed_forward = (3 if shape.gated else 2) * shape.hidden * shape.intermediate
    return 2 * sum(lengths) * shape.layers * (attention + feed_forward)


_LLAMA = Shape(2048, 8192, 1, 32, 8, 64, 128_256, 8192)
SHAPES = {
    "minilm": Shape(384, 1536, 6, 12, 12, 32, 30_522, 512, gated=False, first="{query}", second="{passage}"),
    "llama": _LLAMA,
    "mistral": Shape(4096, 14_336, 1, 32, 8, 128, 32_000, 512, first=f" {_LLAMA.first}"),
}
