"""How a model is asked: NVIDIA's prompt, other authors' by the model's name, a folder's own chat template.

A model that its folder does not say how to ask is a record in `RECIPES`, with its source.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from nvrerank.errors import ModelLoadError

from .checkpoint import Config
from .tokenization import Asked, PairEncoder, SavedTokenizer, TokenPair

# What can run together with the colon before it, or not: white space, signs, digits, letters of many scripts.
_RUN_ON = (
    *("", " a", "a", ":", "::", ": a", "\n", "\n\n a", "\t", "  ", "1,000", "'s", "..."),
    *("é", "東京", "🙂", "<s>", "//"),
)

QUERY, PASSAGE = "\0query\0", "\0passage\0"
"""Where the texts belong in the pieces of a prompt."""


class PromptEncoder(PairEncoder):
    """NVIDIA's rerankers: one sequence from a prompt, the passage at its end.

    Args:
        tokenizer: The model's.
        prompt: With {query} and, at its end, {passage}.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: str) -> None:
        super().__init__(tokenizer)
        self._prompt = prompt
        self._head, _, self._colon = prompt.removesuffix("{passage}").rpartition("passage")
        self._splits = self._can_split()

    def ask(self, query: str) -> Asked:
        """As promised by `PairEncoder`."""
        split = self._in_two if self._splits else self._in_one

        def paired(passages: Sequence[str], max_length: int) -> list[TokenPair]:
            every = split(query, passages)
            return [TokenPair(ids[:max_length], min(len(ids), max_length), len(ids)) for ids in every]

        return Asked(len(self._tokenizer.encode(self._prompt.format(query=query, passage="")).ids), paired)

    def _in_one(self, query: str, passages: Sequence[str]) -> Iterator[list[int]]:
        texts = [self._prompt.format(query=query, passage=passage) for passage in passages]
        return (encoding.ids for encoding in self._encodings(texts, special=True))

    def _in_two(self, query: str, passages: Sequence[str]) -> Iterator[list[int]]:
        """The query's part once: up to the prompt's last word, which a colon ends whatever follows it."""
        first = self._tokenizer.encode(self._head.format(query=query) + "passage").ids
        return (first + rest.ids for rest in self._encodings([self._colon + passage for passage in passages]))

    def _can_split(self) -> bool:
        """Whether two parts have the whole's tokens: where words are parted first, as Llama 3's, they do."""
        if not self._prompt.endswith("passage:{passage}"):
            return False
        return all(
            list(self._in_two(one, _RUN_ON)) == list(self._in_one(one, _RUN_ON)) for one in _RUN_ON[:8]
        )


class PiecesEncoder(PairEncoder):
    """Chat templates and the like: pieces that are tokenised apart, the passage inside one of them.

    What a template holds of the tokenizer's added tokens is structure; the same spelled in a text is text.

    Args:
        tokenizer: The model's.
        pieces: The prompt, with `QUERY` and `PASSAGE` where they belong.
        stripped: Whether the texts lose the white space around them.

    Raises:
        ValueError: `PASSAGE` does not occur once, or `QUERY` not at all.
    """

    def __init__(self, tokenizer: Tokenizer, pieces: Sequence[str], *, stripped: bool = False) -> None:
        super().__init__(tokenizer)
        whole = "".join(pieces)
        if whole.count(PASSAGE) != 1 or QUERY not in whole:
            raise ValueError("a prompt holds the query, and the passage once")
        self._stripped = stripped
        added = {
            token.content: (place, token) for place, token in tokenizer.get_added_tokens_decoder().items()
        }
        marks = "|".join(map(re.escape, sorted(added, key=len, reverse=True))) or r"(?!)"
        parts: list[str] = [part for piece in pieces for part in re.split(f"({marks})", piece) if part]
        self._marks = {part: added[part][0] for part in parts if part in added}
        for token in (added[part][1] for part in self._marks):
            if not token.special:  # it would be read in a text too
                token.special = True
                tokenizer.add_special_tokens([token])
        [place] = [place for place, part in enumerate(parts) if PASSAGE in part]
        self._before, self._after = parts[:place], parts[place + 1 :]
        self._left, self._right = parts[place].split(PASSAGE)

    def ask(self, query: str) -> Asked:
        """As promised by `PairEncoder`."""
        query = query.strip() if self._stripped else query
        left, right = self._left.replace(QUERY, query), self._right.replace(QUERY, query)
        before, after = self._ids(self._before, query), self._ids(self._after, query)
        end = self._encodings([right])[0].ids  # what a cut passage is followed by
        ends = len(before) + len(end) + len(after)

        def paired(passages: Sequence[str], max_length: int) -> list[TokenPair]:
            texts = [passage.strip() for passage in passages] if self._stripped else passages
            middles = self._encodings([left + text + right for text in texts])
            pairs = []
            for text, middle in zip(texts, middles, strict=True):
                whole, ids = len(before) + len(middle) + len(after), middle.ids
                if whole > max_length:
                    starts = [start for start, _ in middle.offsets]
                    inside = bisect_left(starts, len(left) + len(text)) if right else len(ids)
                    ids = ids[: min(inside, max_length - ends)] + end
                pairs.append(TokenPair(before + ids + after, len(before) + len(ids) + len(after), whole))
            return pairs

        return Asked(ends + len(self._encodings([left])[0]), paired)

    def _ids(self, parts: Sequence[str], query: str) -> list[int]:
        ids: list[int] = []
        for part in parts:
            mark = self._marks.get(part)
            ids += self._encodings([part.replace(QUERY, query)])[0].ids if mark is None else [mark]
        return ids


@dataclass(frozen=True)
class Recipe:
    """How a language model is asked whether a passage answers a query.

    Attributes:
        name: What people call the models; part of the hub name or of the folder's.
        pattern: Regular expression that finds it there.
        model_type: config.json's.
        pieces: The prompt, with `QUERY` and `PASSAGE` where they belong, in pieces that its authors tokenise
            apart.
        markers: Special tokens of the prompt, without which it would mean something else.
        yes: The token whose logit at the last place is the score.
        no: The token whose logit is subtracted; None: none is.
        context: Tokens it was made for.
    """

    name: str
    pattern: str
    model_type: str
    pieces: tuple[str, ...]
    markers: tuple[str, ...]
    yes: str
    no: str | None
    context: int

    def encoder(self, tokenizer: SavedTokenizer, config: Config) -> PairEncoder:
        """What tokenises pairs by this prompt.

        Raises:
            ModelLoadError: The tokenizer lacks a special token of the prompt.
        """
        added = {token.content for token in tokenizer.backend.get_added_tokens_decoder().values()}
        for mark in self.markers:
            if mark not in added:
                raise ModelLoadError(
                    f"{config.file.parent / 'tokenizer.json'} has no token {mark}, which the prompt of "
                    f"{self.name} needs"
                )
        return PiecesEncoder(tokenizer.backend, self.pieces)


_CHAT = ("<|im_start|>", "<|im_end|>")
_QWEN3_HEAD = """<|im_start|>system
Judge whether the Document meets the requirements based on the Query and the Instruct provided. \
Note that the answer can only be "yes" or "no".<|im_end|>
<|im_start|>user
"""
_QWEN3 = f"""<Instruct>: Given a web search query, retrieve relevant passages that answer the query
<Query>: {QUERY}
<Document>: {PASSAGE}<|im_end|>
<|im_start|>assistant
<think>

</think>

"""
_MXBAI_HEAD = """<|im_start|>system
You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>
<|im_start|>user
"""
_MXBAI_TASK = """You are a search relevance expert who evaluates how well documents match search \
queries. For each query-document pair, carefully analyze the semantic relationship between them, \
then provide your binary relevance judgment (0 for not relevant, 1 for relevant).
Relevance:"""
_BGE_TASK = """Given a query A and a passage B, determine whether the passage contains an answer to the \
query by providing a prediction of either 'Yes' or 'No'."""

RECIPES = (
    Recipe(  # https://huggingface.co/Qwen/Qwen3-Reranker-0.6B
        name="Qwen3-Reranker",
        pattern=r"qwen3[-_.]?reranker",
        model_type="qwen3",
        pieces=(_QWEN3_HEAD, _QWEN3),
        markers=_CHAT,
        yes="yes",
        no="no",
        context=32_768,
    ),
    Recipe(  # https://github.com/mixedbread-ai/mxbai-rerank, mxbai_rerank/mxbai_rerank_v2.py
        name="mxbai-rerank-v2",
        pattern=r"mxbai[-_.]?rerank[-_.](\w+[-_.])?v2",
        model_type="qwen2",
        pieces=(
            *(_MXBAI_HEAD, f"query: {QUERY}", "\n", f"document: {PASSAGE}", "\n", _MXBAI_TASK),
            "<|im_end|>\n<|im_start|>assistant\n",
        ),
        markers=_CHAT,
        yes="1",
        no="0",
        context=8192,
    ),
    Recipe(  # https://github.com/FlagOpen/FlagEmbedding, inference/reranker/decoder_only/base.py
        name="bge-reranker-v2-gemma",
        pattern=r"bge[-_.]?reranker[-_.](v2[-_.])?gemma",
        model_type="gemma",
        pieces=(f"<bos>A: {QUERY}", "\n", f"B: {PASSAGE}", "\n", _BGE_TASK),
        markers=("<bos>",),
        yes="Yes",
        no=None,
        context=8192,
    ),
)


def find_recipe(names: Iterable[str], model_type: object) -> Recipe | None:
    """The recipe of a model that is called so."""
    called = list(names)
    for recipe in RECIPES:
        if recipe.model_type == model_type and any(
            re.search(recipe.pattern, name, re.IGNORECASE) for name in called
        ):
            return recipe
    return None
