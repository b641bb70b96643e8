"""jina-reranker-v3: a query and all its passages in one sequence, and a score for each.

Prompt, blocks and scores are those of modeling.py of https://huggingface.co/jinaai/jina-reranker-v3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from nvrerank.errors import ModelLoadError
from nvrerank.token_counter import passage_share

from .checkpoint import Checkpoint, Config
from .layers import LoadedModel
from .settings import LocalSettings
from .tokenization import Asked, PairEncoder, SavedTokenizer, TokenPair

ARCHITECTURE = "JinaForRanking"

_PASSAGE_END, _QUERY_END = "<|embed_token|>", "<|rerank_token|>"  # where their embeddings are read
_QUERY_TOKENS, _PASSAGE_TOKENS, _BLOCK = 512, 2048, 125
_CONTEXT = _QUERY_TOKENS + _PASSAGE_TOKENS
_HEAD = """<|im_start|>system
You are a search relevance expert who can determine a ranking of the passages based on how relevant they are \
to the query. If the query is a question, how relevant a passage is depends on how well it answers the \
question. If not, try to analyze the intent of the query and assess how well each passage satisfies the \
intent. If an instruction is provided, you should follow the instruction when determining the ranking.\
<|im_end|>
<|im_start|>user
I will provide you with """
_COUNTED = """ passages, each indicated by a numerical identifier. Rank the passages based on their \
relevance to query:"""
_NEXT, _OPEN = '\n</passage>\n<passage id="', '">\n'
_TAIL = "\n</query><|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def _opening(query: str, instruction: str) -> str:
    told = f"<instruct>\n{instruction}\n</instruct>\n" if instruction else ""
    return f' {query}\n{told}<passage id="'


def _closing(query: str) -> str:
    return f"\n</passage>\n<query>\n{query}"


class ListEncoder(PairEncoder):
    """Each pair as the prompt of a list of one has it, without what all lists begin and end with.

    `split` is where the passage begins. A query has 512 tokens, however few it takes, and a passage the rest.

    Args:
        tokenizer: The model's.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self._instruction = ""
        known = tokenizer.get_vocab()
        self.ends = [known[mark] for mark in (_PASSAGE_END, _QUERY_END) if mark in known]

    def instructed(self, instruction: str) -> PairEncoder | None:
        """As promised by `PairEncoder`."""
        twin = copy(self)
        twin._instruction = instruction  # noqa: SLF001 (its own class)
        return twin

    def ask(self, query: str) -> Asked:
        """As promised by `PairEncoder`."""
        texts = (_opening(query, self._instruction), _closing(query), query, _OPEN)
        opening, closing, bare, lead = (one.ids for one in self._encodings(texts))
        excess = len(bare) - _QUERY_TOKENS
        frame = _QUERY_TOKENS if excess <= 0 else _CONTEXT - passage_share(_CONTEXT) + excess

        def paired(passages: Sequence[str], max_length: int) -> list[TokenPair]:
            pairs = []
            for passage in self._encodings([_OPEN + passage for passage in passages]):
                kept = passage.ids[: max_length - frame + len(lead)]
                ids = [*opening, *kept, self.ends[0], *closing, self.ends[1]]
                pairs.append(TokenPair(ids, len(opening), frame + len(passage) - len(lead)))
            return pairs

        return Asked(frame, paired)


@dataclass(frozen=True)
class ListwiseModel:
    """A causal trunk, and a projector whose embeddings are compared.

    Attributes:
        trunk: Token ids to hidden states.
        projector: Hidden states to embeddings, in float32.
        parts: Token ids of what stands in every list: before its length, after it, between passages, at the
            end; then those of the digits.
        ends: The tokens at which a passage's and a query's embedding are read.
        capacity: Tokens that a block may have.
    """

    trunk: nn.Module
    projector: nn.Module
    parts: Sequence[Sequence[int]]
    ends: Sequence[int]
    capacity: int

    def __call__(self, batch: Sequence[TokenPair]) -> Tensor:
        """A list's pairs to cosines, float32: [pairs]. Blocks share the mean of their queries' embeddings."""
        passages, queries, weights = [], [], []
        for block in self._blocks(batch):
            ids = torch.tensor(self.sequence(block), device=next(self.trunk.parameters()).device)
            hidden: Tensor = self.trunk(input_ids=ids[None], use_cache=False).last_hidden_state[0]
            own, query = (self.projector(hidden[ids == end].float()) for end in self.ends)
            passages.append(own)
            queries.append(query)
            weights.append((1 + cosine_similarity(own, query)).max() / 2)
        weight = torch.stack(weights)[:, None]  # [blocks, 1]
        query = (torch.cat(queries) * weight).sum(0, keepdim=True) / weight.sum()
        return cosine_similarity(torch.cat(passages), query)

    def sequence(self, block: Sequence[TokenPair]) -> list[int]:
        """The ids of one list of passages."""
        head, counted, between, tail, *digits = self.parts

        def number(value: int) -> Iterator[int]:
            return (token for digit in str(value) for token in digits[int(digit)])

        first = list(block[0].ids)
        ids = [*head, *number(len(block)), *counted, *first[: block[0].split]]
        for place, pair in enumerate(block):
            own = list(pair.ids[pair.split :])
            end = own.index(self.ends[0]) + 1
            ids += [*(between if place else ()), *number(place), *own[:end]]
        return [*ids, *own[end:], *tail]

    def _blocks(self, batch: Sequence[TokenPair]) -> Iterator[Sequence[TokenPair]]:
        """At most 125 passages, and no more once a whole one might not fit any more."""
        start, left = 0, 0
        for place, pair in enumerate(batch):
            if place == start:
                left = self.capacity - 2 * pair.split
            left -= list(pair.ids).index(self.ends[0]) - pair.split
            if place + 1 - start >= _BLOCK or left <= _PASSAGE_TOKENS or place + 1 == len(batch):
                yield batch[start : place + 1]
                start = place + 1


def load_listwise(checkpoint: Checkpoint, tokenizer: SavedTokenizer, settings: LocalSettings) -> LoadedModel:
    """Loads one, without its folder's code.

    Raises:
        ModelLoadError: It asks for something else than the first version's trunk, or its files don't fit.
    """
    from transformers import AutoConfig, AutoModel

    config = checkpoint.config
    _check(config, settings)
    backend = tokenizer.backend
    encoder = ListEncoder(backend)
    if len(encoder.ends) < 2:  # noqa: PLR2004 (a passage's and a query's)
        raise ModelLoadError(
            f"{config.file.parent / 'tokenizer.json'} needs the tokens {_PASSAGE_END} and {_QUERY_END}"
        )
    told = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False, local_files_only=True)
    module: Any = nn.Module()
    hidden = config.size("hidden_size")
    build: Any = AutoModel.from_config
    module.model = build(told, trust_remote_code=False)
    module.projector = nn.Sequential(
        nn.Linear(hidden, hidden // 2, bias=False),
        nn.ReLU(),
        nn.Linear(hidden // 2, config.size("embedding_size", 512), bias=False),
    )
    checkpoint.fill(
        module,
        dtype=settings.dtype,
        device=settings.device,
        exact=r"projector\..*",
        not_needed=lambda name: re.fullmatch(r"lm_head\.weight|.*\.inv_freq", name) is not None,
    )
    module.to(settings.device)
    texts = (_HEAD, _COUNTED, _NEXT, _TAIL, *"0123456789")
    parts = [_ids(backend, text) for text in texts]
    model = ListwiseModel(module.model, module.projector, parts, encoder.ends, tokenizer.longest)
    _check_split(encoder, model, backend, config)
    return LoadedModel(encoder, _CONTEXT, model, listwise=True)


def _check(config: Config, settings: LocalSettings) -> None:
    kinds = config.values.get("layer_types") or ()
    if config.values.get("use_sliding_window") or any(kind != "full_attention" for kind in kinds):
        raise ModelLoadError(
            f"{config.file}: attention within a window (jina-reranker-v3.5) is not known here: HostedScorer "
            "asks Jina's API"
        )
    if settings.quantize is not None or settings.max_length is not None:
        raise ModelLoadError(
            f"{config.file}: a listwise model reads {_QUERY_TOKENS} tokens of the query and "
            f"{_PASSAGE_TOKENS} of each passage, in floats: leave quantize and max_length out"
        )


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a piece of the prompt, whose added tokens are structure."""
    known = {token.content: place for place, token in tokenizer.get_added_tokens_decoder().items()}
    marks = "|".join(map(re.escape, sorted(known, key=len, reverse=True))) or r"(?!)"
    ids: list[int] = []
    for part in filter(None, re.split(f"({marks})", text)):
        ids += [known[part]] if part in known else tokenizer.encode(part, add_special_tokens=False).ids
    return ids


def _check_split(encoder: ListEncoder, model: ListwiseModel, tokenizer: Tokenizer, config: Config) -> None:
    """Compares a list that is put together with one that is tokenised whole."""
    query, passages = "who wrote 12 of them?", ["the sea, 1,000 times.", "\nb c", *"abcdefghij"]
    listed = "".join(
        f"{_NEXT if place else ''}{place}{_OPEN}{passage}{_PASSAGE_END}"
        for place, passage in enumerate(passages)
    )
    asked = f"{_HEAD}{len(passages)}{_COUNTED}{_opening(query, '')}{listed}{_closing(query)}"
    whole: Any = _ids(tokenizer, f"{asked}{_QUERY_END}{_TAIL}")
    if model.sequence(encoder.encode(query, passages, _CONTEXT)) != whole:
        raise ModelLoadError(
            f"{config.file.parent / 'tokenizer.json'} joins words of the prompt that this model's own parts"
        )
