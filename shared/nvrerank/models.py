"""The models we know, as data. Adding a model is adding a record. Pure.

What is hosted where, and until when, is as of the second half of 2026.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

NVIDIA_PROMPT = "question:{query} \n \n passage:{passage}"
"""The one sequence NVIDIA's rerankers were trained on (model card of llama-nemotron-rerank-1b-v2)."""


@dataclass(frozen=True, slots=True)
class RerankModel:
    """A reranker by name.

    Attributes:
        id: The name that requests carry.
        context: Tokens of query and passage together.
        aliases: Other names of the same model; spellings such as 3.2, 3_2, 3-2 need none.
        prompt: How query and passage become one sequence; None: not published.
        hosted: Path under NVIDIA's API host; None: not hosted, a NIM of one's own serves it.
        retired: The day since which the hosted model answers 410.
        successor: The id to use instead.
        max_passages: Passages that one hosted request may carry.
        images: Whether passages may be images.
        note: What else a person who chooses should know.
    """

    id: str
    context: int
    aliases: tuple[str, ...] = ()
    prompt: str | None = None
    hosted: str | None = None
    retired: date | None = None
    successor: str | None = None
    max_passages: int = 512
    images: bool = False
    note: str = ""


MODELS = (
    RerankModel(
        "nvidia/llama-nemotron-rerank-1b-v2",
        context=8192,
        prompt=NVIDIA_PROMPT,
        hosted="/v1/retrieval/nvidia/llama-nemotron-rerank-1b-v2/reranking",
        note="multilingual; open weights",
    ),
    RerankModel(
        "nvidia/llama-3.2-nv-rerankqa-1b-v2",
        context=8192,
        prompt=NVIDIA_PROMPT,
        hosted="/v1/retrieval/nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking",
        retired=date(2026, 5, 18),
        successor="nvidia/llama-nemotron-rerank-1b-v2",
        note="the same weights under the former name; 4096 tokens on a NIM's generic profile",
    ),
    RerankModel(
        "nvidia/llama-nemotron-rerank-500m-v2",
        context=8192,
        aliases=("nvidia/llama-3.2-nemoretriever-500m-rerank-v2",),
        prompt=NVIDIA_PROMPT,
        hosted="/v1/retrieval/nvidia/llama-nemotron-rerank-500m-v2/reranking",
        note="whether it is still hosted was not confirmed",
    ),
    RerankModel(
        "nvidia/llama-nemotron-rerank-vl-1b-v2",
        context=8192,
        aliases=("nvidia/llama-nemotron-rerank-vl-1b-v2-fp8",),
        prompt=NVIDIA_PROMPT,
        hosted="/v1/retrieval/nvidia/llama-nemotron-rerank-vl-1b-v2/reranking",
        max_passages=1000,
        images=True,
        note="NVIDIA's own hosted default; text and images; open weights",
    ),
    RerankModel(
        "nvidia/nemotron-3.5-rerank-8b",
        context=10_240,
        aliases=("nvidia/Nemotron-3.5-Rerank-8B-BF16",),
        images=True,
        note="text and images; not hosted: a NIM 2.4 of one's own (32768 tokens by NIM_PIPELINE_MAX_SEQ_LEN)",
    ),
    RerankModel(
        "nvidia/nv-rerankqa-mistral-4b-v3",
        context=512,
        prompt=NVIDIA_PROMPT,
        note="not hosted any more: a NIM of one's own",
    ),
    RerankModel(
        "nv-rerank-qa-mistral-4b:1",
        context=512,
        aliases=("ai-rerank-qa-mistral-4b",),
        hosted="/v1/retrieval/nvidia/reranking",
        note="legacy; the one path that does not follow from the name",
    ),
)


def find(name: str) -> RerankModel | None:
    """The record of a model by id or alias, in any spelling of its version (3.2, 3_2, 3-2)."""
    return _BY_KEY.get(_key(name))


def hosted_path(name: str) -> str:
    """Where NVIDIA's API host serves a model: by its record, else by its name.

    Source: the API reference; dots of the name are underscores in the path.

    Raises:
        ValueError: The name is unknown and not of the form org/name, or the model is not hosted.
    """
    known = find(name)
    if known is not None:
        if known.hosted is None:
            raise ValueError(f"{known.id} is not hosted: give the base_url of a NIM that serves it")
        return known.hosted
    org, slash, model = name.partition("/")
    if not (org and slash and model) or "/" in model:
        raise ValueError(f"{name!r} is no model's name: write it as org/name, or give a base_url")
    return f"/v1/retrieval/{org}/{model.replace('.', '_')}/reranking"


def _key(name: str) -> str:
    return name.strip().lower().replace(".", "-").replace("_", "-")


_BY_KEY = {_key(name): model for model in MODELS for name in (model.id, *model.aliases)}


def is_listwise(name: str) -> bool:
    """Whether a model, by its name, scores a passage by the others of its list."""
    return re.search(r"jina[-_.]?reranker[-_.]?v3", name, re.IGNORECASE) is not None
