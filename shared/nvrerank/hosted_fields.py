"""What an adapter makes a `HostedScorer` of, as pydantic fields: the official arguments, and some of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, Secret, SecretStr, field_serializer

from . import models
from .scorer import Scale
from .windows import LongPassages

if TYPE_CHECKING:
    from .hosted import HostedScorer

KEYS = ("nvidia_api_key", "api_key")
_SECRETS = {*KEYS, "default_headers", "extra_headers"}
_LIMITS = ("timeout", "max_retries", "max_concurrency", "scale", "extra_body", "verify")


class Headers(dict[str, str]):
    """Headers whose repr has their names alone: a value may be secret."""

    def __repr__(self) -> str:
        return f"Headers({', '.join(map(str, self))})"


def hide(given: dict[str, Any]) -> None:
    """Makes keys and headers unreadable in place: to be called before anything can fail and show them."""
    for name in _SECRETS.intersection(given):
        given[name] = _hidden(given.pop(name))


def _hidden(secret: object) -> object:
    if secret is None or isinstance(secret, SecretStr | Secret):
        return secret
    if isinstance(secret, Mapping):
        return Headers(secret)
    return SecretStr(secret) if isinstance(secret, str) else Secret[Any](secret)


def _checked(key: object) -> object:
    key = _hidden(key)
    if isinstance(key, Secret):
        kind = type(key.get_secret_value()).__name__
        raise TypeError(f"api_key must be a str or a SecretStr, not {kind}")
    return key or None


def public(headers: dict[str, str] | None) -> dict[str, str] | None:
    """Headers without those that authorize."""
    if not headers:
        return headers
    from .hosted.credentials import ExtraHeaders

    return ExtraHeaders(headers).without_secrets()


ApiKey = Annotated[SecretStr | str | None, BeforeValidator(_checked)]


class HostedFields(BaseModel):
    """Settings of the scorer that an adapter makes.

    Attributes:
        model: The model's name. None: NVIDIA's own default, or what the server of `base_url` lists first.
        base_url: A server's root, its /v1, a proxy's prefix or a full endpoint. None: NVIDIA_BASE_URL,
            else NVIDIA's hosted API.
        nvidia_api_key: The key, a str or a SecretStr. None: `api_key`.
        api_key: The same. None: NVIDIA_API_KEY, which is sent to NVIDIA's own hosts only.
        max_batch_size: Passages a request, at most; never more than the server takes. None: 512.
        long_passages: What becomes of a passage that is too long: "truncate" cuts its end off, "windows"
            scores it in parts, "error" refuses it. None: as `truncate` says.
        truncate: What the server does with a pair that is too long: "END" cuts, "NONE" refuses. None: as
            `long_passages` says; if that says nothing, as the server likes.
        scale: What the server's scores are, "logit" or "probability"; None: as `HostedScorer` finds out.
        extra_body: More members of every request's body, such as {"instruction": "..."}.
        default_headers: More headers for every request.
        timeout: Seconds a call may take, all in all. None: 60.
        max_retries: Tries after the first. None: 3.
        max_concurrency: Requests under way at once, over all calls. None: 8.
        verify: What TLS trusts: the usual authorities (None or True), those of a file or folder, or
            anybody (False).
        send_key_over_http: Whether a key that was passed may go to another machine in clear.
    """

    model: str | None = None
    base_url: str | None = None
    nvidia_api_key: ApiKey = Field(default=None, exclude=True, repr=False)
    api_key: ApiKey = Field(default=None, exclude=True, repr=False)
    max_batch_size: int | None = None
    long_passages: LongPassages | None = None
    truncate: Literal["NONE", "END"] | None = None
    scale: Scale | None = None
    extra_body: dict[str, Any] | None = None
    default_headers: Annotated[dict[str, str] | None, AfterValidator(_hidden)] = None
    timeout: float | None = None
    max_retries: int | None = None
    max_concurrency: int | None = None
    verify: bool | str | None = None
    send_key_over_http: bool = False

    @field_serializer("default_headers")
    def _public_headers(self, headers: dict[str, str] | None) -> dict[str, str] | None:
        return public(headers)

    def _hosted_scorer(self) -> HostedScorer:
        """Makes the scorer, which decides what each setting may be.

        Raises:
            TypeError: A setting is of the wrong type.
            ValueError: A setting is malformed, out of range or at odds with another.
            MissingKeyError: NVIDIA's host wants a key and there is none.
        """
        from .hosted import HostedScorer

        known = models.find(self.model or "")
        return HostedScorer(
            self.model,
            base_url=self._server(),
            api_key=self.nvidia_api_key or self.api_key,
            long_passages=self.long_passages,
            truncate=... if self.truncate is None and self.long_passages else self.truncate,
            headers=self.default_headers,
            send_key_over_http=self.send_key_over_http,
            max_batch_size=self.max_batch_size
            and min(self.max_batch_size, known.max_passages if known else 512),
            **{name: value for name in _LIMITS if (value := getattr(self, name)) is not None},
        )

    def _server(self) -> str | None:
        """`base_url` as this adapter reads it."""
        return self.base_url

    def _said(self) -> list[str]:
        """Names of the settings that are not as they are without a word."""
        defaults = HostedFields.model_fields
        return [name for name in defaults if getattr(self, name) not in (defaults[name].default, {})]


SETTINGS = tuple(HostedFields.model_fields)
