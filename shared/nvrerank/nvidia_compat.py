"""What the official classes' constructors take, in our names, and what they list. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from . import models

_OURS = {"nvidia_base_url": "base_url", "verify_ssl": "verify", "extra_headers": "default_headers"}
OTHER_NAMES = ("nvidia_api_key", *_OURS)
"""What the official classes call arguments that have another name here."""

_INSTEAD = {
    "http_client": "timeout=, verify= and default_headers= do what it did, or scorer=HostedScorer(...)",
    "usage_telemetry_enabled": "nothing is ever reported, so leave it out",
    "headers": "it is default_headers= here",
    "protocol": "it is the scorer's: scorer=HostedScorer(..., protocol=...)",
    "transport": "it is the scorer's: scorer=HostedScorer(..., transport=...)",
}

_COMPLETE = re.compile(r"/(v\d+|ranking|reranking|rerank)$")
_PREFIXED = re.compile(r"https?://[^/]+/.+")
_NVIDIA = re.compile(r"\s*https?://([\w-]+\.)*nvidia\.com(:\d+)?(/|\s*$)", re.IGNORECASE)
_KINDS = {
    "an embedding": re.compile(r"embed|bge-m3|clip|(^|/)(e5|gte)-"),
    "a chat": re.compile(
        r"instruct|chat|gemma|-it$|(^|[/_-])(llama|mistral|mixtral|nemotron|qwen|qwq|deepseek|kimi|glm|gpt|phi|"
        r"granite|falcon|minimax|yi-|step-|starcoder)"
    ),
}


@dataclass(frozen=True, slots=True)
class AvailableModel:
    """A model as `available_models` lists it, with the official classes' names.

    Attributes:
        id: What `model=` takes.
        model_type: "ranking", or "ranking-vlm" where passages may be images.
        aliases: Other names of the same model.
        client: The class it is for.
    """

    id: str
    model_type: Literal["ranking", "ranking-vlm"] = "ranking"
    aliases: tuple[str, ...] = ()
    client: str = "NVIDIARerank"


def available(ids: Iterable[str]) -> list[AvailableModel]:
    """Models by id, with what we know of them."""
    known = ((name, models.find(name)) for name in ids)
    return [
        AvailableModel(name, "ranking-vlm" if one.images else "ranking", one.aliases)
        if one
        else AvailableModel(name)
        for name, one in known
    ]


def hosted_models() -> list[AvailableModel]:
    """Models that NVIDIA hosts, as far as we know."""
    return available(model.id for model in models.MODELS if model.hosted and not model.retired)


def in_our_names(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the official constructors as arguments of ours.

    Args:
        given: By whatever name; what is None, or off where it is always off, is as good as absent. Of the two
            names of the key `nvidia_api_key` counts first.

    Raises:
        ValueError: One argument came under two names, or one means nothing here.
    """
    for name, instead in _INSTEAD.items():
        if given.get(name):
            raise ValueError(f"{name} is not taken: {instead}")
    ours = {name: value for name, value in given.items() if name not in _OURS and name not in _INSTEAD}
    if key := ours.pop("nvidia_api_key", None):  # it counts first
        ours["api_key"] = key
    for theirs, name in _OURS.items():
        value = given.get(theirs)
        if value in (None, {}):
            continue
        if ours.get(name) not in (None, {}):
            raise ValueError(f"{theirs} and {name} are the same: leave {theirs} out")
        ours[name] = value
    return ours


def with_endpoint(base_url: str) -> str:
    """A base_url as LlamaIndex's official class reads it: https://proxy/nim is https://proxy/nim/ranking.

    Whatever ends in a version or an endpoint stays as it is; so does what is no such URL, and a server's
    root, under which a NIM has nothing.
    """
    trimmed = base_url.strip().rstrip("/")
    if _PREFIXED.fullmatch(trimmed) and not _COMPLETE.search(trimmed):
        return f"{trimmed}/ranking"
    return base_url


def other_kind(model: str | None, server: str | None) -> str | None:
    """What a model of NVIDIA's host is by its name, if not a reranker; None: a reranker, or who knows.

    Args:
        model: Its name.
        server: The base_url; None: NVIDIA's own. Of other servers we know nothing: the official classes
            don't judge their names either.
    """
    name = (model or "").lower()
    if (server and not _NVIDIA.match(server)) or re.search("rank|^nvdev/", name) or models.find(name):
        return None
    return next((kind for kind, names in _KINDS.items() if names.search(name)), None)


def of_another_maker(model: str) -> bool:
    """Whether a name on the hub is that of a model that NVIDIA's host, as far as we know, does not have."""
    maker, slash, _ = model.partition("/")
    return bool(slash) and maker.lower() not in ("nvidia", "nvdev") and models.find(model) is None
