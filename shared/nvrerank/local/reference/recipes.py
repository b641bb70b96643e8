"""Rerankers whose folder doesn't say how it ranks: their authors' prompts, as data; a new one is a record.

The pieces of a prompt are tokenised apart, as the source does it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from nvrerank.local.prompt import PASSAGE, QUERY


@dataclass(frozen=True)
class Recipe:
    """How a language model is asked whether a passage answers a query.

    Attributes:
        name: What people call the models; part of the hub name or of the folder's.
        pattern: Regular expression that finds it there.
        model_type: config.json's.
        pieces: The prompt, with `QUERY` and `PASSAGE` where they belong.
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
