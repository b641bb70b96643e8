"""The bundled model: two BERT inputs side by side, gates between them, and lexical evidence. Pure torch.

Query and passage each keep their own positions. Inside a segment attention is BERT's; across the segments a
learned number for each layer, head and direction is added to the attention logits. The score is a sum: the
cosine of the two mean vectors, the mean of each query token's best cosine, a linear head, and what the exact
matches of token ids say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everyone calls it

from .checkpoint import Config
from .layers import Reranker
from .tokenization import TokenPair

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
    def read(cls, config: Config) -> TwoSegmentConfig:
        """Reads config.json.

        Raises:
            ModelLoadError: A field is missing, of the wrong type, or out of range.
        """
        sizes = (one.name for one in fields(cls) if one.type == "int" and one.default is MISSING)
        read = cls(
            **{name: config.size(name) for name in sizes},
            first_crossing_layer=config.size("first_crossing_layer", cls.first_crossing_layer, at_least=0),
            layer_norm_eps=config.positive("layer_norm_eps", cls.layer_norm_eps),
            typical_passage_tokens=config.size("typical_passage_tokens", cls.typical_passage_tokens),
        )
        if read.hidden_size % read.num_attention_heads:
            raise config.wrong("num_attention_heads", f"a divisor of hidden_size {read.hidden_size}")
        return read


class TwoSegmentEncoder(Reranker):
    """Scores pairs of token ids; each score depends on its own pair alone."""

    def __init__(self, config: TwoSegmentConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.config, self.context = config, config.max_position_embeddings
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

    def logits(self, batch: Sequence[TokenPair]) -> Tensor:
        """As promised by `Reranker`."""
        return self([(pair.ids[: pair.split], pair.ids[pair.split :]) for pair in batch])  # type: ignore[no-any-return]

    def forward(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Tensor:
        """Scores `([CLS] query [SEP], [CLS] passage [SEP])` pairs of token ids.

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
        """A score's parts: evidence `[pairs, EVIDENCE]`, pooled vectors `[pairs, 4 * hidden]`."""
        lengths = [len(segment) for pair in pairs for segment in pair]
        if min(lengths) < 1 or max(lengths) > self.config.max_position_embeddings:
            raise ValueError(f"a segment has 1 to {self.config.max_position_embeddings} tokens")
        device = self.words.weight.device
        ids = torch.tensor([token for pair in pairs for segment in pair for token in segment], device=device)
        exact = torch.promote_types(self.words.weight.dtype, torch.float32)
        segments, idf = torch.split(ids, lengths), torch.split(self.idf[ids].to(exact), lengths)[::2]
        matches = [  # 1 where a query's token is one of the passage and carries evidence: [q, p]
            ((query[:, None] == passage) & (rarity > 0)[:, None]).to(exact)
            for query, passage, rarity in zip(segments[::2], segments[1::2], idf, strict=True)
        ]
        states = torch.split(self._encode(ids, lengths, matches).to(exact), lengths)
        words = torch.split(F.normalize(self.words(ids).to(exact), dim=1), lengths)  # each [segment, hidden]
        typical, evidence, pooled = self.config.typical_passage_tokens, [], []
        halves = (states[::2], states[1::2], words[::2], words[1::2], matches, idf)
        for query, passage, asked, given, match, rarity in zip(*halves, strict=True):
            cosines, heads = _compared(query, passage, rarity)
            lexical = lexical_features(match, asked @ given.T, rarity, typical)
            evidence.append(torch.cat((cosines, lexical)))
            pooled.append(heads)
        return torch.stack(evidence), torch.stack(pooled)

    def _encode(self, ids: Tensor, lengths: list[int], matches: list[Tensor]) -> Tensor:
        places = torch.cat([torch.arange(length, device=ids.device) for length in lengths])  # [tokens]
        counts = torch.tensor(lengths, device=ids.device)
        sides = (torch.arange(len(lengths), device=ids.device) % 2).repeat_interleave(counts)  # [tokens]
        hidden: Tensor = self.embedding_norm(self.words(ids) + self.positions(places))
        for number, layer in enumerate(self.layers):
            if number == self.config.first_crossing_layer:  # marks tokens that the other segment has too
                found = torch.cat([one for match in matches for one in (match.amax(1), match.amax(0))])
                constant, by_idf = self.match_vectors[sides].unbind(1)  # each [tokens, hidden]
                marks = constant + self.idf[ids][:, None] * by_idf
                hidden = hidden + found[:, None].to(marks.dtype) * marks
            hidden = layer(hidden, lengths, sides, crossing=number >= self.config.first_crossing_layer)
        return hidden


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
        """Gives each head two more dimensions whose product is the gate: no mask has to be built.

        A query vector says in them which segment it is in, a key vector what each segment adds to it.
        """
        rows = qkv.view(len(qkv), 3, self.heads, -1)
        asks = F.one_hot(sides, 2).to(rows.dtype)  # [tokens, 2]
        adds = (1 - asks)[:, None] * gates.T * rows.shape[-1] ** 0.5  # [tokens, heads, 2]
        extra = torch.stack((asks[:, None].expand_as(adds), adds, torch.zeros_like(adds)), dim=1)
        return torch.cat((rows, extra.to(rows.dtype)), dim=-1).permute(1, 2, 0, 3)


def _compared(query: Tensor, passage: Tensor, idf: Tensor) -> tuple[Tensor, Tensor]:
    """What two segments' states have in common.

    Returns:
        `[3]`: cosine of the means, mean of each query token's best cosine, the same weighted by idf;
        `[4 * hidden]`, for the linear head: product and distance of the means, both first tokens.
    """
    best = (F.normalize(query, dim=1) @ F.normalize(passage, dim=1).T).amax(1)  # [q]
    share = idf / idf.sum().clamp(min=1e-6)
    first, second = query.mean(0), passage.mean(0)
    cosines = torch.stack((F.cosine_similarity(first, second, dim=0), best.mean(), best @ share))
    return cosines, torch.cat((first * second, (first - second).abs(), query[0], passage[0]))


def lexical_features(match: Tensor, static: Tensor, idf: Tensor, typical: int) -> Tensor:
    """Describes how the query's tokens occur in the passage; every feature is of the order of 1.

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
