"""Where requests go, what is spoken there, and whether a key may go along. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from nvrerank import models

from .protocols import PROTOCOLS, ApiProtocol

DEFAULT_MODEL = "nvidia/llama-nemotron-rerank-vl-1b-v2"
"""NVIDIA's own current default."""

HOSTED = "https://ai.api.nvidia.com"
STATUS = "https://api.nvcf.nvidia.com/v2/nvcf/pexec/status/"
"""Where a 202 of NVIDIA's host is polled."""

_BY_ENDING = {"/ranking": "nim", "/reranking": "nim", "/rerank": "cohere"}
_OTHERS = re.compile(
    r".*(/(chat|classify|completions|detokenize|embed(_all|_sparse|dings)?|generate|infer|invocations|messages"
    r"|metrics|models|pooling|predict|rankings|responses|score|similarity|tokenize))/*",
    re.IGNORECASE,
)
_GATEWAYS = ("ai.api.nvidia.com", "integrate.api.nvidia.com")
_INFERENCE_HUB, _INTEGRATE = "inference-api.nvidia.com", _GATEWAYS[1]
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,128}")
_PATH = re.compile(r"(/[\w.:-]+)+", re.ASCII)
_VERSION = re.compile(r"/v\d+$")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that ranks.

    Attributes:
        url: What passages are posted to.
        protocol: What is spoken there.
        models: The URL that lists the models served.
        health: The URL that tells whether the server is ready.
        host: Host and port, for messages.
        nvidia: Whether the host is NVIDIA's own, over https.
        private: Whether nobody can listen: https, or this machine.
    """

    url: str
    protocol: ApiProtocol
    models: str
    health: str
    host: str
    nvidia: bool
    private: bool


def find_endpoint(model: str | None, base_url: str | None, protocol: str | None) -> Endpoint:
    """Where a model is.

    Args:
        model: Its name; None: whatever the server has.
        base_url: A server's root, its /v1, a proxy's prefix or a full endpoint; None, or the root of
            NVIDIA's own API: the address follows from the model's name.
        protocol: "nim", "cohere" or "tei"; None: by the URL's ending, else "nim", but "cohere" where NVIDIA's
            own gateways want it.

    Raises:
        ValueError: An argument is malformed, or the model is not hosted.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    parts = urlsplit(HOSTED) if base_url is None else _split(base_url)
    if _wants_cohere(parts, model, protocol):
        return _endpoint(parts, "cohere")
    if parts.hostname in _GATEWAYS and parts.path in ("", "/v1"):
        if protocol not in (None, "nim"):
            raise ValueError(f"NVIDIA's hosted API speaks nim, not {protocol}: leave protocol out")
        parts = urlsplit(HOSTED + _hosted_path(model or DEFAULT_MODEL))
    return _endpoint(parts, protocol)


def _wants_cohere(parts: SplitResult, model: str | None, protocol: str | None) -> bool:
    """Whether a gateway's root is meant whose models answer at /v1/rerank, and not at /v1/ranking.

    Source: NVIDIA-NeMo/nemo-platform, pull request 1927. NVIDIA's own models of integrate.api.nvidia.com have
    an address each at ai.api.nvidia.com, where self-service keys are good; others' have none there.
    """
    if parts.path not in ("", "/v1") or protocol not in (None, "cohere"):
        return False
    maker, slash, _ = (model or "").partition("/")
    others = bool(slash) and maker.lower() not in ("nvidia", "nvdev")
    return parts.hostname == _INFERENCE_HUB or (
        parts.hostname == _INTEGRATE and (protocol == "cohere" or others)
    )


def hosted_id(model: str | None) -> str:
    """The name that a hosted request carries: a known model's id in whatever spelling it was given."""
    name = model or DEFAULT_MODEL
    known = models.find(name)
    return known.id if known else name


def may_send_key(endpoint: Endpoint, *, explicit: bool, send_key_over_http: bool) -> bool:
    """Whether a key may be sent there.

    Args:
        endpoint: The server.
        explicit: Whether the key was passed as an argument; else it is from the environment and is
            for NVIDIA's own hosts only.
        send_key_over_http: Whether a key that was passed may go out in clear.

    Raises:
        ValueError: The key would go out in clear and that was not asked for.
    """
    if endpoint.nvidia or not explicit:
        return endpoint.nvidia
    if not (endpoint.private or send_key_over_http):
        raise ValueError(
            f"a key would be sent to {endpoint.host} in clear: use https, leave the key out, or say "
            "send_key_over_http=True"
        )
    return True


def status_url(request_id: str) -> str | None:
    """Where to poll for an answer that is not there yet; None: that is no request's id."""
    return STATUS + request_id if _REQUEST_ID.fullmatch(request_id) else None


def _split(base_url: str) -> SplitResult:
    """A URL without a slash at its end. No message repeats it: it may hold a password."""
    if not isinstance(base_url, str):
        raise TypeError(f"base_url must be a str, not {type(base_url).__name__}")
    text = base_url.strip()
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("base_url has characters that no URL has")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("base_url has a malformed host or port") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("base_url must be a URL such as http://localhost:8000/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError("base_url holds a user name or password: pass api_key or headers instead")
    if "?" in text or "#" in text:
        raise ValueError("base_url has a query or a fragment: leave it out")
    if other := _OTHERS.fullmatch(parts.path):
        raise ValueError(
            f"base_url ends in {other[1]}, which is something else than ranking: give a NIM's /v1, or the "
            "/v1/rerank of what speaks Cohere's protocol (vLLM, Jina, infinity)"
        )
    if not _HOST.fullmatch(f"[{host}]" if ":" in host else host):
        raise ValueError("base_url has a malformed host")
    return parts._replace(path=parts.path.rstrip("/"))


def _hosted_path(model: str) -> str:
    path = models.hosted_path(model)
    if not _PATH.fullmatch(path) or ".." in path:
        raise ValueError(f"{model!r} is no hosted model's name: letters, digits, dots, - and _ make org/name")
    return path


def _endpoint(parts: SplitResult, protocol: str | None) -> Endpoint:
    ending = next((end for end in _BY_ENDING if parts.path.endswith(end)), None)
    spoken = PROTOCOLS[protocol or (_BY_ENDING[ending] if ending else "nim")]
    versioned = _VERSION.search(parts.path)
    path = parts.path if ending else parts.path + (f"/{spoken.verb}" if versioned else spoken.root)
    above = path.rpartition("/")[0]
    origin = f"{parts.scheme}://{parts.netloc}"
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    return Endpoint(
        url=origin + path,
        protocol=spoken,
        models=origin + _beside(above, spoken.models),
        health=origin + _beside(above, spoken.health),
        host=parts.netloc,
        nvidia=secure and host.endswith(".nvidia.com"),
        private=secure or _is_loopback(host),
    )


def _beside(above: str, route: str) -> str:
    """A route of the API's version, or, if it begins with a slash, above it."""
    if route.startswith("/"):
        return _VERSION.sub("", above) + route
    return f"{above}/{route}" if _VERSION.search(above) else f"{above}/v1/{route}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
