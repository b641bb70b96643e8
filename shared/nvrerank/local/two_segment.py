"""The embedded model: two BERT inputs side by side, gates between them, and lexical evidence. Pure torch.

Query and passage each keep their own positions. Inside a segment attention is BERT's; across the segments a
learned number for each layer, head and direction is added to the attention logits. The score is a sum: the
cosine of the two mean vectors, the mean of each query token's best cosine, a linear head, and what the exact
matches of token ids say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everyone calls it

EVIDENCE = 15  # numbers that describe a pair: three cosines, then lexical features
_SHUT = -1e4  # added to an attention logit: the other segment is not seen


@dataclass(frozen=True)
class TwoSegmentConfig:
    """The sizes of the model and the constants of its lexical features."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    first_crossing_layer: int = 0
    layer_norm_eps: float = 1e-12
    typical_passage_tokens: int = 150

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> TwoSegmentConfig:
        """Read the fields of a `config.json`; others are ignored.

        Raises:
            ValueError: A field is missing, of the wrong type, or out of range.
        """
        known: dict[str, int | float] = {}
        for field in fields(cls):
            value = values.get(field.name, field.default)
            wanted = (int, float) if field.name == "layer_norm_eps" else (int,)
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise ValueError(f"{field.name} must be a number, not {value!r}")  # noqa: TRY004  # as promised
            if value < 0 or (value == 0 and field.name != "first_crossing_layer"):
                raise ValueError(f"{field.name} must be positive, not {value}")
            known[field.name] = value
        config = cls(**known)  # type: ignore[arg-type]  # checked field by field above
        if config.hidden_size % config.num_attention_heads:
            raise ValueError("num_attention_heads must divide hidden_size")
        return config


class TwoSegmentEncoder(nn.Module):
    """Scores pairs of token ids; each score depends on its own pair alone."""

    def __init__(self, config: TwoSegmentConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.config = config
        self.words = nn.Embedding(config.vocab_size, size)
        self.positions = nn.Embedding(config.max_position_embeddings, size)  # token type 0 is folded in
        self.embedding_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.idf = nn.Buffer(torch.zeros(config.vocab_size))  # 0: never evidence (special tokens)
        self.match_vectors = nn.Parameter(torch.zeros(2, 2, size))  # [segment, (constant, times idf), hidden]
        self.weights = nn.Parameter(torch.zeros(EVIDENCE))
        self.mix_up = nn.Linear(EVIDENCE, 32)
        self.mix_down = nn.Linear(32, 1, bias=False)
        self.head = nn.Linear(4 * size, 1)

    def forward(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Tensor:
        """Score `([CLS] query [SEP], [CLS] passage [SEP])` pairs of token ids.

        Returns:
            One float32 logit for each pair, `[pairs]`.

        Raises:
            ValueError: A segment is empty or longer than the model has positions.
        """
        if not pairs:
            return self.weights.new_zeros(0)
        evidence, pooled = self.describe(pairs)
        evidence, pooled = evidence.to(self.weights.dtype), pooled.to(self.weights.dtype)
        learned = self.mix_down(F.gelu(self.mix_up(evidence))) + self.head(pooled)  # [pairs, 1]
        logits: Tensor = evidence @ self.weights + learned[:, 0]
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def describe(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[Tensor, Tensor]:
        """Return a score's parts: evidence `[pairs, EVIDENCE]`, pooled vectors `[pairs, 4 * hidden]`."""
        lengths = [len(segment) for pair in pairs for segment in pair]
        if min(lengths) < 1 or max(lengths) > self.config.max_position_embeddings:
            raise ValueError(f"a segment has 1 to {self.config.max_position_embeddings} tokens")
        device = self.words.weight.device
        ids = torch.tensor([token for pair in pairs for segment in pair for token in segment], device=device)
        segments = torch.split(ids, lengths)
        exact = torch.promote_types(self.words.weight.dtype, torch.float32)
        idf = torch.split(self.idf[ids].to(exact), lengths)[::2]  # each [q]
        matches = [_matches(*one) for one in zip(segments[::2], segments[1::2], idf, strict=True)]
        states = torch.split(self._encode(ids, lengths, matches).to(exact), lengths)
        words = torch.split(F.normalize(self.words(ids).to(exact), dim=1), lengths)  # each [segment, hidden]
        typical, evidence, pooled = self.config.typical_passage_tokens, [], []
        halves = (states[::2], states[1::2], words[::2], words[1::2], matches, idf)
        for query, passage, asked, given, match, rarity in zip(*halves, strict=True):
            lexical = lexical_features(match, asked @ given.T, rarity, typical)
            evidence.append(torch.cat((_cosines(query, passage, rarity), lexical)))
            pooled.append(_pooled(query, passage))
        return torch.stack(evidence), torch.stack(pooled)

    def _encode(self, ids: Tensor, lengths: list[int], matches: list[Tensor]) -> Tensor:
        places = torch.cat([torch.arange(length, device=ids.device) for length in lengths])  # [tokens]
        counts = torch.tensor(lengths, device=ids.device)
        sides = (torch.arange(len(lengths), device=ids.device) % 2).repeat_interleave(counts)  # [tokens]
        hidden: Tensor = self.embedding_norm(self.words(ids) + self.positions(places))
        for number, layer in enumerate(self.layers):
            crossing = number >= self.config.first_crossing_layer
            if number == self.config.first_crossing_layer:
                hidden = hidden + self._marks(ids, sides, matches)
            hidden = layer(hidden, lengths, sides, crossing=crossing)
        return hidden

    def _marks(self, ids: Tensor, sides: Tensor, matches: list[Tensor]) -> Tensor:
        """What is added to tokens that occur in the other segment too: `[tokens, hidden]`."""
        found = torch.cat([one for match in matches for one in (match.amax(1), match.amax(0))])  # [tokens]
        vectors = self.match_vectors[sides]  # [tokens, 2, hidden]
        return found[:, None].to(vectors.dtype) * (vectors[:, 0] + self.idf[ids][:, None] * vectors[:, 1])


class _Layer(nn.Module):
    """A BERT layer (normalised after each half) with gates between the segments."""

    def __init__(self, config: TwoSegmentConfig) -> None:
        super().__init__()
        size, self.heads = config.hidden_size, config.num_attention_heads
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.attention_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.up = nn.Linear(size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, size)
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.gates = nn.Parameter(torch.full((2, self.heads), _SHUT))  # query to passage, passage to query

    def forward(self, hidden: Tensor, lengths: list[int], sides: Tensor, *, crossing: bool) -> Tensor:
        gates = self.gates if crossing else torch.full_like(self.gates, _SHUT)
        rows = self._gated(self.qkv(hidden), gates, sides)  # [3, heads, tokens, size of a head + 2]
        pairs = [q + p for q, p in zip(lengths[::2], lengths[1::2], strict=True)]
        scale = (hidden.shape[1] // self.heads) ** -0.5
        mixed = [
            F.scaled_dot_product_attention(one[:1], one[1:2], one[2:], scale=scale)
            for one in torch.split(rows, pairs, dim=2)
        ]
        together = torch.cat(mixed, dim=2)[0, :, :, :-2].transpose(0, 1).flatten(1)  # [tokens, hidden]
        hidden = self.attention_norm(hidden + self.out(together))
        out: Tensor = self.norm(hidden + self.down(F.gelu(self.up(hidden))))
        return out

    def _gated(self, qkv: Tensor, gates: Tensor, sides: Tensor) -> Tensor:
        """Give each head two more dimensions whose product is the gate: no mask has to be built.

        A query vector says in them which segment it is in, a key vector what each segment adds to it.
        """
        rows = qkv.view(len(qkv), 3, self.heads, -1)
        asks = F.one_hot(sides, 2).to(rows.dtype)  # [tokens, 2]
        adds = (1 - asks)[:, None] * gates.T * rows.shape[-1] ** 0.5  # [tokens, heads, 2]
        extra = torch.stack((asks[:, None].expand_as(adds), adds, torch.zeros_like(adds)), dim=1)
        return torch.cat((rows, extra.to(rows.dtype)), dim=-1).permute(1, 2, 0, 3)


def _cosines(query: Tensor, passage: Tensor, idf: Tensor) -> Tensor:
    """Cosine of the means, mean of each query token's best cosine, the same weighted by idf: `[3]`."""
    best = (F.normalize(query, dim=1) @ F.normalize(passage, dim=1).T).amax(1)  # [q]
    share = idf / idf.sum().clamp(min=1e-6)
    return torch.stack(
        (F.cosine_similarity(query.mean(0), passage.mean(0), dim=0), best.mean(), best @ share)
    )


def _pooled(query: Tensor, passage: Tensor) -> Tensor:
    """What the linear head sees: product and distance of the means, both first tokens."""
    first, second = query.mean(0), passage.mean(0)
    return torch.cat((first * second, (first - second).abs(), query[0], passage[0]))


def lexical_features(match: Tensor, static: Tensor, idf: Tensor, typical: int) -> Tensor:
    """Describe how the query's tokens occur in the passage; every feature is of the order of 1.

    Args:
        match: 1 where the tokens are the same and carry evidence, `[q, p]`.
        static: Cosine of the tokens' word embeddings, `[q, p]`.
        idf: Inverse document frequency of each query token, `[q]`.
        typical: Tokens of a passage of ordinary length.
    """
    total = idf.sum().clamp(min=1e-6)
    share = idf / total  # [q]
    rare = idf**2 / (idf**2).sum().clamp(min=1e-6)
    length = match.shape[1] / typical
    count = match.sum(1)  # [q]
    found = match.amax(1)
    saturated = count / (count + 1.2 * (0.25 + 0.75 * length))
    pairs = idf[:-1] * idf[1:] * ((idf[:-1] > 0) & (idf[1:] > 0))  # [q - 1]
    adjacent = (match[:-1, :-1] * match[1:, 1:]).sum(1).clamp(max=1.0) if match.shape[1] > 1 else pairs * 0
    near = F.max_pool1d(match[None], min(24, match.shape[1]), stride=1)[0]  # [q, places of the window]
    content = (idf > 0).sum().clamp(min=1)
    return torch.stack(
        (
            found @ share,
            saturated @ share,
            found @ rare,
            adjacent @ pairs / pairs.sum().clamp(min=1e-6),
            (share @ near).amax(),
            static.amax(1) @ share,
            static.amax(1) @ rare,
            (saturated @ idf) / 30,
            (found * idf).amax() / idf.amax().clamp(min=1e-6),
            torch.log(idf.new_tensor(length)),
            torch.log(content / 10),
            total / content / 5,
        )
    )


def _matches(query: Tensor, passage: Tensor, idf: Tensor) -> Tensor:
    """1 where a token of the query is a token of the passage and carries evidence: `[q, p]`."""
    return ((query[:, None] == passage[None]) & (idf > 0)[:, None]).to(idf.dtype)
