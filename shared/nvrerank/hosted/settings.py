"""What a HostedScorer was told, checked. Pure but for reading a file of certificates."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import EllipsisType
from typing import Any, get_args

from nvrerank import models
from nvrerank._checks import checked_integer
from nvrerank.errors import InvalidArgumentError, MissingKeyError
from nvrerank.scorer import Scale
from nvrerank.texts import clean_instruction
from nvrerank.windows import LongPassages, Truncate, settled

from .credentials import Credentials, ExtraHeaders, Key
from .endpoint import DEFAULT_MODEL, Endpoint, find_endpoint, hosted_id, may_send_key

_MOST_PASSAGES = 512
_LONGEST_NAME = 128
_MEMBER = 20  # bytes of a member's name and what stands around it
_LONGEST_TIMEOUT = 1_000_000  # what every clock can count
_RESERVED = {
    "model": "it is model=",
    "query": "it is what is asked",
    **dict.fromkeys(("passages", "documents", "texts"), "they are what is scored"),
    **dict.fromkeys(("top_n", "top_k"), "rerank's top_n cuts, after all were scored"),
}
_RESERVED_TOO = {
    "nim": {"truncate": "it is truncate="},
    "tei": {"truncate": "it is truncate=", "raw_scores": "it is scale="},
}


@dataclass(frozen=True, slots=True)
class HostedSettings:
    """How a scorer works.

    Attributes:
        endpoint: The server and its protocol.
        model: The model that requests name; None: whatever the server has.
        credentials: The key and the caller's own headers.
        timeout: Seconds a call may take.
        max_retries: Tries after the first.
        max_concurrency: Requests at once.
        batch: Passages a request.
        long_passages: What becomes of a passage that is too long.
        truncate: What the server does with what is still too long; None: as it likes.
        scale: What the scores are; None: the replies tell.
        raw: Whether raw scores are asked for.
        reads_images: Whether passages may have images.
        extra_body: More members of every request's body.
        instruction: What the model is told of its task; None: nothing.
        extra_bytes: How long both are.
        verify: What TLS trusts.
        transport: The caller's own httpx transport.
    """

    endpoint: Endpoint
    model: str | None
    credentials: Credentials
    timeout: float
    max_retries: int
    max_concurrency: int
    batch: int
    long_passages: LongPassages
    truncate: Truncate | None
    scale: Scale | None
    raw: bool
    reads_images: bool
    extra_body: dict[str, Any]
    instruction: str | None
    extra_bytes: int
    verify: bool | ssl.SSLContext
    transport: object | None


def checked_settings(given: Mapping[str, Any], key: Key, headers: ExtraHeaders) -> HostedSettings:
    """Checks everything that can be checked without a connection.

    Args:
        given: The other arguments of `HostedScorer`, of any type.
        key: The key.
        headers: The caller's own headers.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, malformed, or at odds with another.
        MissingKeyError: NVIDIA's host wants a key and there is none.
    """
    base_url, truncate, scale = given["base_url"], given["truncate"], given["scale"]
    model = _checked_model(given["model"])
    endpoint = find_endpoint(model, base_url, given["protocol"])
    named = _named(model, endpoint, base_url)
    keyed = _keyed(endpoint, key, headers.checked(), send_key_over_http=given["send_key_over_http"])
    long = _checked_long(given, named, endpoint)
    extra, told = _checked_extra(given["extra_body"], endpoint), given["instruction"]
    settings = HostedSettings(
        endpoint=endpoint,
        model=named,
        credentials=Credentials(key, headers, keyed),
        timeout=_seconds(given["timeout"]),
        max_retries=checked_integer("max_retries", given["max_retries"], least=0),
        max_concurrency=checked_integer("max_concurrency", given["max_concurrency"], least=1),
        batch=_batch(given["max_batch_size"], endpoint, model),
        long_passages=long,
        truncate=("NONE" if long == "error" else "END") if isinstance(truncate, EllipsisType) else truncate,
        scale=_checked_scale(scale, endpoint) or endpoint.protocol.scale,
        raw=scale != "probability",
        reads_images=_sees(given["reads_images"], model, endpoint),
        extra_body=extra,
        instruction=None,
        extra_bytes=len(json.dumps(extra, ensure_ascii=False).encode()),
        verify=_checked_verify(given["verify"]),
        transport=_checked_transport(given["transport"]),
    )
    return settings if told is None else instructed(settings, clean_instruction(told))


def instructed(settings: HostedSettings, instruction: str) -> HostedSettings:
    """The same with an instruction, whose text is checked.

    Raises:
        InvalidArgumentError: The protocol has no place for one, or extra_body has one already.
    """
    endpoint, members = settings.endpoint, settings.endpoint.protocol.instruction
    if not members:
        raise InvalidArgumentError(
            f"the protocol {endpoint.protocol.name!r} has no place for an instruction: leave it out, or give "
            "the URL of a server that speaks Cohere's, such as vLLM's http://host:8000/rerank"
        )
    if twice := settings.extra_body.keys() & members:
        raise InvalidArgumentError(f"extra_body holds {min(twice)!r}, too: give it as instruction= alone")
    size = len(json.dumps(settings.extra_body, ensure_ascii=False).encode())
    more = len(members) * (len(json.dumps(instruction, ensure_ascii=False).encode()) + _MEMBER)
    return replace(settings, instruction=instruction, extra_bytes=size + more)


def _checked_model(model: str | None) -> str | None:
    if model is None:
        return None
    if not isinstance(model, str):
        raise TypeError(f"model must be a str or None, not {type(model).__name__}")
    name = model.strip()
    if not name.isprintable() or not 1 <= len(name) <= _LONGEST_NAME:
        raise ValueError(f"model must be a name of 1 to {_LONGEST_NAME} printable characters, or None")
    return name


def _named(model: str | None, endpoint: Endpoint, base_url: str | None) -> str | None:
    """The name that requests carry."""
    if not endpoint.nvidia or (endpoint.protocol.name != "nim" and model is not None):
        return model
    if model is None and endpoint != find_endpoint(None, None, None):
        raise ValueError(f"name the model that {base_url} serves: model=...")
    return hosted_id(model)


def _keyed(endpoint: Endpoint, key: Key, headers: ExtraHeaders, *, send_key_over_http: bool) -> bool:
    """Whether the key goes along."""
    if key.explicit and headers.authorize:
        raise ValueError("both api_key and headers authorize: leave one of them out")
    if headers.authorize:
        may_send_key(endpoint, explicit=True, send_key_over_http=send_key_over_http)
    if headers.authorize or key.lost:
        return False
    if key.explicit:
        key.checked()
    if endpoint.nvidia and not key:
        raise MissingKeyError(
            f"{endpoint.host} wants a key (they begin with nvapi-): set NVIDIA_API_KEY or pass api_key="
        )
    goes = bool(key) and may_send_key(endpoint, explicit=key.explicit, send_key_over_http=send_key_over_http)
    return goes and bool(key.checked())


def _seconds(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be seconds, not {type(timeout).__name__}")
    if not 0 < timeout <= _LONGEST_TIMEOUT:
        raise ValueError(f"timeout must be more than 0 and at most {_LONGEST_TIMEOUT} seconds, not {timeout}")
    return float(timeout)


def _batch(size: int | None, endpoint: Endpoint, model: str | None) -> int:
    listwise = models.is_listwise(model or "")
    if size is None:
        return sys.maxsize if listwise else endpoint.protocol.batch
    known = models.find(model) if model else None
    most = known.max_passages if known else sys.maxsize if listwise else _MOST_PASSAGES
    return checked_integer("max_batch_size", size, least=1, most=most)


def _sees(told: object, model: str | None, endpoint: Endpoint) -> bool:
    """Whether images may be sent: as told, else as is known of the model; of another one a NIM is asked."""
    if told is not None and not isinstance(told, bool):
        raise TypeError(f"reads_images must be a bool or None, not {type(told).__name__}")
    if told and not endpoint.protocol.images:
        raise ValueError(f"{endpoint.protocol.name} has no place for images: leave reads_images out")
    known = models.find(model or (DEFAULT_MODEL if endpoint.nvidia else ""))
    if told is not None or not endpoint.protocol.images:
        return bool(told)
    if endpoint.protocol.name == "nim":
        return known is None or known.images
    return known is not None and known.images and not endpoint.nvidia


def _checked_long(given: Mapping[str, Any], model: str | None, endpoint: Endpoint) -> LongPassages:
    long_passages, truncate = given["long_passages"], given["truncate"]
    if isinstance(truncate, EllipsisType):
        long = settled(long_passages, None)
    elif truncate is None and long_passages in ("truncate", "error"):
        raise ValueError(f"truncate=None leaves it to the server: leave it or {long_passages=} out")
    else:
        long = settled(long_passages, truncate)
    if long == "error" and endpoint.protocol.name == "cohere":
        raise ValueError(
            "Cohere's protocol can't ask a server to refuse: long_passages='windows' reads all, "
            "truncate=None leaves it to the server"
        )
    if long == "windows" and not (model and models.find(model)):
        raise ValueError(
            "long_passages='windows' needs a model of nvrerank.MODELS, since it must know how many tokens it "
            "reads: name it, or tell by Windowed(HostedScorer(...), size=...)"
        )
    return long


def _checked_scale(scale: Scale | None, endpoint: Endpoint) -> Scale | None:
    if scale is not None and scale not in get_args(Scale):
        raise ValueError(f"scale must be 'logit', 'probability' or None, not {scale!r}")
    if scale == "probability" and endpoint.protocol.name == "nim":
        raise ValueError("a NIM's scores are logits: leave scale out; score_mode='sigmoid' maps them to 0..1")
    return scale


def _checked_extra(extra_body: object, endpoint: Endpoint) -> dict[str, Any]:
    """A copy, as JSON has it."""
    if extra_body is None:
        return {}
    if not isinstance(extra_body, Mapping) or not all(isinstance(name, str) for name in extra_body):
        raise TypeError("extra_body must be a mapping of str to what JSON can hold")
    for name, instead in (_RESERVED | _RESERVED_TOO.get(endpoint.protocol.name, {})).items():
        if name in extra_body:
            raise ValueError(f"extra_body can't set {name!r}: {instead}")
    try:
        text = json.dumps(dict(extra_body), ensure_ascii=False, allow_nan=False)
        copy: dict[str, Any] = json.loads(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"extra_body holds what JSON can't: {error}") from None
    return copy


def _checked_verify(verify: bool | str | Path | ssl.SSLContext) -> bool | ssl.SSLContext:  # noqa: FBT001
    if isinstance(verify, bool | ssl.SSLContext):
        return verify
    if not isinstance(verify, str | Path):
        raise TypeError(f"verify must be a bool, a path or an SSLContext, not {type(verify).__name__}")
    try:
        if Path(verify).is_dir():
            return ssl.create_default_context(capath=str(verify))
        return ssl.create_default_context(cafile=str(verify))
    except OSError as error:  # an SSLError is one
        raise ValueError(f"verify names {str(verify)!r}, which holds no certificates: {error}") from error


def _checked_transport(transport: object | None) -> object | None:
    sends = hasattr(transport, "handle_request") or hasattr(transport, "handle_async_request")
    if transport is not None and not sends:
        raise TypeError(f"transport must be an httpx transport, not {type(transport).__name__}")
    return transport
