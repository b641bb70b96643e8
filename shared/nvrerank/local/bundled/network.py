"""Two inputs side by side, gates between them, and lexical evidence: the bundled model. Pure torch.

Query and passage each keep their own positions. The lower layers read each of them alone, so that a query is
read once for all passages of a batch. In the layers above, a learned number for each layer, head and
direction is added to the attention logits across the two. The score is a sum of evidence (cosines of the two
inputs' states, and how the query's word pieces occur in the passage), weighed by the pair, and a linear head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everyone calls it

from nvrerank.local.checkpoint import Config
from nvrerank.local.layers import FILL, GeluLinear, Linear, Reranker
from nvrerank.local.tokenization import TokenPair

from .packed_weights import BLOCK, expand, in_stored_form

EVIDENCE = 15  # numbers that describe a pair: three cosines, then lexical features
_MIX = 64  # width of the network that weighs the evidence by the pair

Pair = tuple[Sequence[int], Sequence[int]]


@dataclass(frozen=True)
class TwoSegmentConfig:
    """The sizes of the model and the constants of its features and its calibration.

    Attributes:
        query_prefix_tokens: Tokens in front of a query's text, the first special one among them.
        passage_prefix_tokens: The same of a passage.
        temperature: What a logit, less the offset, is divided by, so that its sigmoid is a probability.
        offset: The logit of a passage that is as likely relevant as not.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    first_crossing_layer: int = 0
    query_prefix_tokens: int = 1
    passage_prefix_tokens: int = 1
    layer_norm_eps: float = 1e-12
    typical_passage_tokens: int = 150
    temperature: float = 1.0
    offset: float = 0.0

    @classmethod
    def read(cls, config: Config) -> TwoSegmentConfig:
        """Reads config.json.

        Raises:
            ModelLoadError: A field is missing, of the wrong type, or out of range.
        """
        sizes = (one.name for one in fields(cls) if one.type == "int" and one.default is MISSING)
        read = cls(
            **{name: config.size(name) for name in sizes},
            first_crossing_layer=config.size("first_crossing_layer", cls.first_crossing_layer, at_least=0),
            query_prefix_tokens=config.size("query_prefix_tokens", cls.query_prefix_tokens),
            passage_prefix_tokens=config.size("passage_prefix_tokens", cls.passage_prefix_tokens),
            layer_norm_eps=config.positive("layer_norm_eps", cls.layer_norm_eps),
            typical_passage_tokens=config.size("typical_passage_tokens", cls.typical_passage_tokens),
            temperature=config.positive("temperature", cls.temperature),
            offset=config.number("offset", cls.offset),
        )
        if read.hidden_size % read.num_attention_heads:
            raise config.wrong("num_attention_heads", f"a divisor of hidden_size {read.hidden_size}")
        return read


class TwoSegmentEncoder(Reranker):
    """Scores pairs of token ids; each score depends on its own pair alone."""

    words: nn.Module  # ids -> [..., hidden]

    def __init__(self, config: TwoSegmentConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.config, self.context = config, config.max_position_embeddings
        self.words = nn.Embedding(config.vocab_size, size)
        self.positions = nn.Embedding(config.max_position_embeddings, size)  # token type 0 is folded in
        self.embedding_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.idf = nn.Buffer(torch.zeros(config.vocab_size))  # 0: never evidence
        self.classes = nn.Buffer(torch.arange(config.vocab_size, dtype=torch.int32))  # pieces that match
        self.match_vectors = nn.Parameter(torch.zeros(2, 2, size))  # [segment, (constant, times idf), hidden]
        self.weights = nn.Parameter(torch.zeros(EVIDENCE))
        self.mix_up = nn.Linear(EVIDENCE, _MIX)
        self.mix_pooled = nn.Linear(4 * size, _MIX, bias=False)
        self.mix_down = nn.Linear(_MIX, EVIDENCE + 1, bias=False)
        self.head = nn.Linear(4 * size, 1)

    @classmethod
    def in_stored_form(cls, config: TwoSegmentConfig) -> TwoSegmentEncoder:
        """The model with room for the weights as its file holds them; `expand` makes it whole."""
        model = cls(config)
        model.words = PackedEmbedding(config.vocab_size, config.hidden_size)
        in_stored_form(model)
        return model

    def expand(self) -> None:
        """As promised by `Reranker`."""
        expand(self)

    def logits(self, batch: Sequence[TokenPair]) -> Tensor:
        """As promised by `Reranker`; calibrated."""
        pairs = [(pair.ids[: pair.split], pair.ids[pair.split :]) for pair in batch]
        raw: Tensor = self(pairs)
        return (raw - self.config.offset) / self.config.temperature

    def forward(self, pairs: Sequence[Pair]) -> Tensor:
        """Scores (query, passage) pairs of token ids, prefixes and special tokens among them.

        Returns:
            One logit before calibration for each pair, float32: [pairs]

        Raises:
            ValueError: A segment is empty or longer than the model has positions.
        """
        if not pairs:
            return self.weights.new_zeros(0)
        evidence, pooled = (one.to(self.weights.dtype) for one in self.describe(pairs))
        mixed = F.gelu(self.mix_up(evidence) + self.mix_pooled(pooled))
        delta = self.mix_down(mixed)  # [pairs, EVIDENCE + 1]
        weighed = (evidence * (self.weights + delta[:, :-1])).sum(1)
        logits: Tensor = weighed + delta[:, -1] + self.head(pooled)[:, 0]
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def describe(self, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
        """A score's parts: evidence `[pairs, EVIDENCE]`, pooled vectors `[pairs, 4 * hidden]`."""
        queries: dict[tuple[int, ...], int] = {}
        owners = [queries.setdefault(tuple(query), len(queries)) for query, _ in pairs]
        alone = self._read_alone(list(queries), self.config.query_prefix_tokens)
        query = _Read(*(one[owners] for one in alone))
        passage = self._read_alone([one for _, one in pairs], self.config.passage_prefix_tokens)
        same = query.classes[:, :, None] == passage.classes[:, None]  # [pairs, q, p]
        match = (same & (query.rarity > 0)[:, :, None] & (passage.rarity > 0)[:, None]).to(query.rarity)
        static = query.directions @ passage.directions.transpose(1, 2)
        lexical = lexical_features(
            match,
            static.masked_fill(~passage.mask[:, None], -1),
            query.rarity,
            passage.mask.sum(1) / self.config.typical_passage_tokens,
        )
        marked = []
        for one, found, (constant, by_idf) in zip(
            (query, passage), (match.amax(2), match.amax(1)), self.match_vectors, strict=True
        ):  # what is added to tokens that the other segment has too
            rarity = one.rarity[:, :, None].to(constant)
            marked.append(one.hidden + found[:, :, None].to(constant) * (constant + rarity * by_idf))
        crossing = self.layers[self.config.first_crossing_layer :]
        mask = torch.cat((query.mask, passage.mask), 1)
        hidden = self._through(crossing, torch.cat(marked, 1), mask, query.mask.shape[1])
        cosines, pooled = _compared(hidden.to(query.rarity), query, passage)
        return torch.cat((cosines, lexical), 1), pooled

    @torch.no_grad()
    def embed(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Directions of inputs that are read alone to the end, as by the base: [inputs, hidden]."""
        read = self._read_alone(texts, 0)
        hidden = self._through(self.layers[self.config.first_crossing_layer :], read.hidden, read.mask)
        return F.normalize((hidden.float() * read.mask[:, :, None]).sum(1), dim=1)

    @torch.no_grad()  # neither the embeddings nor the layers below the first crossing one learn
    def _read_alone(self, inputs: Sequence[Sequence[int]], prefix: int) -> _Read:
        """Reads inputs up to the first crossing layer.

        Args:
            inputs: Token ids.
            prefix: Tokens in front of each input's own text.
        """
        longest = max(map(len, inputs))
        if min(map(len, inputs)) < 1 or longest > self.config.max_position_embeddings:
            raise ValueError(f"a segment has 1 to {self.config.max_position_embeddings} tokens")
        positions, device = self.positions.weight, self.idf.device
        ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in inputs], device=device)
        lengths = torch.tensor([*map(len, inputs)], device=device)[:, None]
        places = torch.arange(longest, device=device)
        words: Tensor = self.words(ids)
        hidden: Tensor = self.embedding_norm(words.to(positions) + positions[:longest])
        mask = places < lengths
        hidden = self._through(self.layers[: self.config.first_crossing_layer], hidden, mask)
        exact = hidden.dtype if hidden.dtype == torch.float64 else torch.float32
        text = (places >= prefix) & (places < lengths - 1)
        return _Read(
            mask,
            self.classes[ids],
            self.idf[ids].to(exact) * text,
            F.normalize(words.to(exact), dim=2),
            hidden,
        )

    def _through(self, layers: nn.ModuleList, hidden: Tensor, mask: Tensor, split: int = 0) -> Tensor:
        """Runs some of the layers.

        Args:
            layers: Which.
            hidden: States of padded inputs: [inputs, tokens, hidden]
            mask: True where an input has a token: [inputs, tokens]
            split: Where the second segment begins; 0: there is none.
        """
        like = cast("Tensor", self.layers[0].gates)
        fill = FILL if like.dtype == torch.bfloat16 and like.device.type == "cpu" else 1
        rows = F.pad(hidden.flatten(0, 1), (0, 0, 0, -mask.numel() % fill))
        padding = None
        if not mask.all():
            nothing = torch.zeros_like(mask, dtype=like.dtype)
            padding = nothing.masked_fill(~mask, -torch.inf)[:, None, None]
        for layer in layers:
            rows = layer(rows, mask.shape, padding, split)
        return rows[: mask.numel()].view_as(hidden)


class PackedEmbedding(nn.Module):
    """A table of rows in 4 bits: those looked up are expanded, the others stay in the mapped file."""

    def __init__(self, rows: int, size: int) -> None:
        super().__init__()
        self.codes = nn.Buffer(torch.zeros(rows, size // 2, dtype=torch.uint8))
        self.scales = nn.Buffer(torch.zeros(rows, size // BLOCK, dtype=torch.float16))

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., size], float32."""
        pairs = torch.unflatten(self.codes[ids], -1, (-1, BLOCK // 2))
        steps = torch.cat((pairs & 15, pairs >> 4), dim=-1).float().sub_(8)  # [..., blocks, BLOCK]
        return steps.mul_(self.scales[ids].float()[..., None]).flatten(-2)


class _Read(NamedTuple):
    """Inputs that were read alone, padded to the longest.

    Attributes:
        mask: True where an input has a token: [inputs, tokens]
        classes: What each piece matches by: [inputs, tokens]
        rarity: The idf of each token of an input's own text, 0 of all others: [inputs, tokens]
        directions: Word embeddings of length 1: [inputs, tokens, hidden]
        hidden: States below the first crossing layer: [inputs, tokens, hidden]
    """

    mask: Tensor
    classes: Tensor
    rarity: Tensor
    directions: Tensor
    hidden: Tensor


class _Layer(nn.Module):
    """A BERT layer (normalised after each half) with gates between the segments."""

    def __init__(self, config: TwoSegmentConfig) -> None:
        super().__init__()
        size, self.heads = config.hidden_size, config.num_attention_heads
        self.qkv = Linear(size, 3 * size)
        self.out = Linear(size, size)
        self.attention_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.up = GeluLinear(size, config.intermediate_size)
        self.down = Linear(config.intermediate_size, size)
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.gates = nn.Parameter(torch.zeros(2, self.heads))  # query to passage, passage to query

    def forward(self, rows: Tensor, shape: tuple[int, int], padding: Tensor | None, split: int) -> Tensor:
        """One layer.

        Args:
            rows: The inputs' tokens, one input after the other, then rows to spare: [rows, hidden]
            shape: Inputs, and tokens of each.
            padding: What is added to attention logits, [inputs, 1, 1, tokens]; None: nothing.
            split: Where the second segment begins; 0: there is none.
        """
        inputs, tokens = shape
        projected = self.qkv(rows)[: inputs * tokens].view(inputs, tokens, 3, self.heads, -1)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        bias = padding
        if split:
            bias = query.new_zeros(1, self.heads, tokens, tokens)
            bias[:, :, :split, split:], bias[:, :, split:, :split] = self.gates[:, None, :, None, None]
            bias = bias if padding is None else bias + padding
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2)
        spare = (0, 0, 0, len(rows) - inputs * tokens)
        rows = self.attention_norm(rows + self.out(F.pad(mixed.reshape(inputs * tokens, -1), spare)))
        out: Tensor = self.norm(rows + self.down(self.up(rows)))
        return out


def _compared(states: Tensor, query: _Read, passage: _Read) -> tuple[Tensor, Tensor]:
    """What two segments' states have in common.

    Returns:
        `[pairs, 3]`: cosine of the means, mean of each query token's best cosine, the same weighted by idf;
        `[pairs, 4 * hidden]`: product and distance of the means, both first tokens.
    """
    parts = torch.split(states, [query.mask.shape[1], passage.mask.shape[1]], 1)
    asked, kept = query.mask.to(states), passage.mask.to(states)
    first, second = (
        (part * own[:, :, None]).sum(1) / own.sum(1, keepdim=True)
        for part, own in zip(parts, (asked, kept), strict=True)
    )
    cosines = F.normalize(parts[0], dim=2) @ F.normalize(parts[1], dim=2).transpose(1, 2)  # [pairs, q, p]
    best = cosines.masked_fill(~passage.mask[:, None], -1).amax(2)
    share = query.rarity / query.rarity.sum(1, keepdim=True).clamp(min=1e-6)
    means = (best * asked).sum(1) / asked.sum(1)
    compared = torch.stack((F.cosine_similarity(first, second), means, (best * share).sum(1)), 1)
    heads = (part[:, 0] for part in parts)
    return compared, torch.cat((first * second, (first - second).abs(), *heads), 1)


def lexical_features(match: Tensor, static: Tensor, idf: Tensor, length: Tensor) -> Tensor:
    """Describes how queries' tokens occur in their passages; every feature is of the order of 1.

    Args:
        match: 1 where the tokens are of one class and carry evidence, `[pairs, q, p]`.
        static: Cosine of the tokens' word embeddings, -1 beyond the passage's end, `[pairs, q, p]`.
        idf: Inverse document frequency of each query token, `[pairs, q]`.
        length: Tokens of each passage, as a share of an ordinary one's, `[pairs]`.

    Returns:
        `[pairs, EVIDENCE - 3]`
    """
    total = idf.sum(1).clamp(min=1e-6)
    share = idf / total[:, None]
    rare = idf**2 / (idf**2).sum(1, keepdim=True).clamp(min=1e-6)
    count, found = match.sum(2), match.amax(2)  # each [pairs, q]
    saturated = count / (count + 1.2 * (0.25 + 0.75 * length[:, None]))
    couples = idf[:, :-1] * idf[:, 1:]
    adjacent = (match[:, :-1, :-1] * match[:, 1:, 1:]).sum(2).clamp(max=1.0)
    near = F.max_pool1d(match, min(24, match.shape[2]), stride=1)  # [pairs, q, places of the window]
    content = (idf > 0).sum(1).clamp(min=1)
    best = static.amax(2)
    return torch.stack(
        (
            (found * share).sum(1),
            (saturated * share).sum(1),
            (found * rare).sum(1),
            (adjacent * couples).sum(1) / couples.sum(1).clamp(min=1e-6),
            (share[:, :, None] * near).sum(1).amax(1),
            (best * share).sum(1),
            (best * rare).sum(1),
            (saturated * idf).sum(1) / 30,
            (found * idf).amax(1) / idf.amax(1).clamp(min=1e-6),
            torch.log(length),
            torch.log(content / 10),
            total / content / 5,
        ),
        dim=1,
    )
