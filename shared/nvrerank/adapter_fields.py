"""What both adapters can be told, as pydantic fields, and the scorer that is made of it.

Only this module imports pydantic, which both frameworks bring.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from types import EllipsisType
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    Secret,
    SecretStr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)
from pydantic.json_schema import SkipJsonSchema

from . import models
from .adapters import Candidates, readable_images, with_images
from .errors import MissingKeyError, NVRerankError
from .fusion import Fusion, FusionName, as_data, as_fusion
from .nvidia_compat import (
    OTHER_NAMES,
    AvailableModel,
    available,
    hosted_models,
    in_our_names,
    of_another_maker,
    other_kind,
)
from .ranking import OnError, RankOptions, ScoreMode
from .scorer import Scale, Scorer
from .scorer_specs import scorer_of
from .texts import clean_instruction
from .windows import LongPassages, Truncate

if TYPE_CHECKING:
    from .hosted import HostedScorer

_RANK_OPTIONS = tuple(field.name for field in fields(RankOptions))
_OF_A_CALL = (*_RANK_OPTIONS, "instruction", "fetch_images")
_PASSED_ON = (
    *("long_passages", "scale", "reads_images", "extra_body", "timeout", "max_retries", "max_concurrency"),
    "verify",
)
_SECRETS = {"nvidia_api_key", "api_key", "default_headers", "extra_headers"}


class MaskedHeaders(dict[str, str]):
    """Headers whose repr has their names alone: a value may be secret."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self))})"


def _hidden(secret: object) -> object:
    if isinstance(secret, Mapping):
        return MaskedHeaders(secret)
    if isinstance(secret, str):
        return SecretStr(secret)
    return secret if secret is None or isinstance(secret, SecretStr | Secret) else Secret[Any](secret)


def _hide(given: dict[str, Any]) -> dict[str, Any]:
    """Makes keys and headers unreadable in place, before anything can fail and show them in a traceback."""
    for name in _SECRETS.intersection(given):
        given[name] = _hidden(given.pop(name))
    return given


def _public(headers: dict[str, str]) -> dict[str, str]:
    """Headers without those that authorize."""
    from .hosted.credentials import ExtraHeaders

    return ExtraHeaders(headers).without_secrets()


def _with_both_names_of_the_key(schema: dict[str, Any]) -> None:
    if key := schema["properties"].get("api_key"):
        schema["properties"]["nvidia_api_key"] = key | {"title": "Nvidia Api Key"}


def _instance(scorer: object) -> object:
    if scorer is None or isinstance(scorer, Scorer):
        return scorer
    reason = ""
    if isinstance(scorer, str | Mapping):
        try:
            return scorer_of(scorer)
        except ValueError as error:
            reason = f" ({error})"
    raise ValueError(  # pydantic reports only these with the field's name
        f"it must be an instance of Scorer, or what scorer_of takes{reason}. A dump has only its name: pass "
        "the scorer itself beside what was saved, such as scorer=LocalScorer(); a hosted model's name goes "
        "into model="
    )


def _make_scorer(given: dict[str, Any]) -> tuple[Scorer | None, object]:
    """Makes the scorer that a string or a mapping describes, in place.

    Returns:
        The scorer and what describes it, as JSON has it; None: there is none, or it holds a scorer itself.
    """
    spec = given.get("scorer")
    if not isinstance(spec, str | Mapping):
        return None, None
    try:
        given["scorer"] = made = scorer_of(spec)
    except ValueError as error:
        if isinstance(error, NVRerankError):
            raise
        return None, None  # pydantic reports it, with the field's name
    try:
        return made, json.loads(json.dumps(spec))
    except TypeError:
        return made, None


class RerankFields(BaseModel):
    """A scorer, or what a `HostedScorer` is made of, and the options of `rerank`.

    Without `scorer` it takes what NVIDIA's official class of this name takes, and makes its scorer of that,
    once: the arguments up to `send_key_over_http` can't be assigned later, `model_copy(update={...})` makes a
    copy with others; the rest can. No connection is opened before the first use. `close()`, or a with
    statement, closes those of a scorer that was made here. Copies share the scorer. A dump or pickle has the
    settings and never a key: tell what was unpickled by `model_copy(update={"api_key": ...})`, unless the key
    is in NVIDIA_API_KEY.

    Attributes:
        scorer: What scores: `nvrerank.LocalScorer()` or any other `nvrerank.Scorer`, or what
            `nvrerank.scorer_of` makes one of ("bundled", "local:NAME", a mapping), in place of all the
            arguments from `model` to `send_key_over_http`. None: a `nvrerank.HostedScorer` made of them.
        model: The model's name. None: NVIDIA's own default, or what the server of `base_url` lists first.
        base_url: A server's root, its /v1, a proxy's prefix or a full endpoint. None: NVIDIA_BASE_URL,
            else NVIDIA's hosted API.
        api_key: A str or a SecretStr; `nvidia_api_key` is the same and counts first. None: NVIDIA_API_KEY,
            which is sent to NVIDIA's own hosts only.
        max_batch_size: Passages a request, at most; never more than the server takes. None: 512.
        long_passages: What becomes of a passage that is too long: "truncate" cuts its end off, "windows"
            scores it in parts, "error" refuses it. None: as `truncate` says.
        truncate: What the server does with a pair that is too long: "END" cuts, "NONE" refuses. None: as
            `long_passages` says; if that says nothing, as the server likes.
        scale: What the server's scores are, "logit" or "probability". None: as `HostedScorer` finds out.
        reads_images: Whether images may be sent. None: as `HostedScorer` knows of the model.
        extra_body: More members of every request's body.
        default_headers: More headers for every request; `extra_headers` is the same.
        timeout: Seconds a call may take, all in all. None: 60.
        max_retries: Tries after the first. None: 3.
        max_concurrency: Requests under way at once, over all calls. None: 8.
        verify: What TLS trusts: the usual authorities (None or True), those of a file or folder, or
            anybody (False); `verify_ssl` is the same.
        send_key_over_http: Whether a key that was passed may go to another machine in clear.
        top_n: At most so many results; None: all, 0: none.
        threshold: Least score that stays (inclusive), compared after `score_mode`; drops blanks.
        score_mode: "logit" as the model gives it, or "sigmoid" for 0..1.
        on_error: "raise", or "passthrough": the retrieval order cut to top_n, and one warning.
        fuse: None orders by the reranker alone; "rrf" fuses with the retrieval order, "zscore" with the
            retrieval scores; `nvrerank.ReciprocalRankFusion(...)` and `nvrerank.ZScoreFusion(...)` hold
            parameters. Scores and `threshold` stay the reranker's own.
        instruction: What the model is told of its task, such as "Find the clause that forbids it"; None: the
            scorer's own. One whose prompt or protocol has no place for it refuses.
        fetch_images: Whether images that are URLs are fetched: https only, from public addresses.

    Raises:
        ValueError: An argument is unknown, out of range or at odds with another, here or when it is assigned;
            most are a `pydantic.ValidationError`.
        TypeError: A key or header is of the wrong type.
        nvrerank.MissingKeyError: NVIDIA's host wants a key and there is none.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra=_with_both_names_of_the_key,
        validate_assignment=True,
    )

    model: str | None = None
    base_url: str | None = None
    api_key: Annotated[  # "" is an unset variable's; the scorer refuses what is no string
        SecretStr | None,
        PlainValidator(lambda key: _hidden(key) or None, json_schema_input_type=SecretStr | None),
        Field(exclude=True, repr=False),
    ] = None
    max_batch_size: int | None = None
    long_passages: LongPassages | None = None
    truncate: Truncate | None = None
    scale: Scale | None = None
    reads_images: bool | None = None
    extra_body: dict[str, Any] | None = None
    default_headers: (
        Annotated[dict[str, str], AfterValidator(MaskedHeaders), PlainSerializer(_public)] | None
    ) = None
    timeout: float | None = None
    max_retries: int | None = None
    max_concurrency: int | None = None
    verify: bool | str | None = None
    send_key_over_http: bool = False
    scorer: Annotated[
        SkipJsonSchema[Scorer], PlainValidator(_instance), PlainSerializer(lambda scorer: scorer.name, str)
    ] = None  # type: ignore[assignment]  # made by the constructor

    top_n: int | None = 5
    threshold: float | None = None
    score_mode: ScoreMode = "logit"
    on_error: OnError = "raise"
    fuse: Annotated[
        Fusion | FusionName | None, PlainSerializer(lambda fuse: as_data(as_fusion(fuse)), Any)
    ] = None
    instruction: str | None = None

    fetch_images: bool = False

    _own: HostedScorer | None = PrivateAttr(None)
    _made: Scorer | None = PrivateAttr(None)
    _spec: object = PrivateAttr(None)
    _key_lost: bool = PrivateAttr(False)
    _listed: list[AvailableModel] | None = PrivateAttr(None)

    def __init__(
        self,
        model: str | None = None,
        nvidia_api_key: SecretStr | str | None = None,
        api_key: SecretStr | str | None = None,
        base_url: str | None = None,
        http_client: None = None,
        **options: Any,
    ) -> None:
        given = {"model": model, "nvidia_api_key": nvidia_api_key, "api_key": api_key, "base_url": base_url}
        options |= {name: value for name, value in given.items() if value is not None}
        del given, nvidia_api_key, api_key  # a traceback shows what a frame holds
        ours = in_our_names(_hide(options) | {"http_client": http_client})
        made = _make_scorer(ours)
        super().__init__(**ours)
        self._settle_scorer(*made)

    def __init_subclass__(cls, **options: Any) -> None:
        """Documents an adapter's arguments: those of here, then those under its own `Attributes:`."""
        super().__init_subclass__(**options)
        own, heading, added = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
        if heading:
            shared, _, raised = inspect.cleandoc(RerankFields.__doc__ or "").partition("\n\nRaises:")
            _, _, common = shared.partition("\n\n")
            cls.__doc__ = f"{own}{common}\n{added}\n\nRaises:{raised}"

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _SETTINGS or name in OTHER_NAMES:
            del value  # a traceback shows what a frame holds
            raise ValueError(
                f"{name} can't be assigned, since a scorer is made once: make a new {type(self).__name__} "
                f"with it, or a copy with model_copy(update={{{name!r}: ...}})"
            )
        super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; it shares the scorer, unless the update has a setting of one.

        Args:
            update: Arguments of the constructor that are to change; they are checked as there.
            deep: Whether values are copied, too.

        Raises:
            ValueError, TypeError: As the constructor.
            MissingKeyError: A pickle lost the key, and the update has none.
        """
        changes = in_our_names(_hide(dict(update or {})))
        del update  # a traceback shows what a frame holds
        made = _make_scorer(changes)
        twin, settings = super().model_copy(deep=deep), _SETTINGS.keys() & changes
        if changes.get("scorer") is not None:
            twin.__dict__.update(_SETTINGS)
        elif settings and self._key_lost and not settings & {"api_key", "default_headers"}:
            raise MissingKeyError("a pickle holds no key and no secret header: give api_key along")
        elif settings and self._own:
            twin.__dict__["scorer"] = None
        for name, value in changes.items():
            BaseModel.__setattr__(twin, name, value)
        if settings:
            twin._settle_scorer(*made)  # noqa: SLF001 (its own class)
        return twin

    @property
    def nvidia_api_key(self) -> SecretStr | None:
        """`api_key`, as LlamaIndex's official constructor calls it."""
        return self.api_key

    @property
    def available_models(self) -> list[AvailableModel]:
        """Models there are: of NVIDIA's host those we know, of another server those that it lists.

        A server is asked once, while the caller waits. A scorer that lists none is listed itself.
        """
        if self._listed is None:
            listing = getattr(self.scorer, "models", None)
            self._listed = available(listing() if callable(listing) else [self.scorer.name])
        return list(self._listed)

    @classmethod
    def get_available_models(cls, **options: Any) -> list[AvailableModel]:
        """`available_models` of an adapter with these options; for NVIDIA's own it needs no key."""
        try:
            reranker = cls(**options)
        except MissingKeyError:
            return hosted_models()
        with reranker:
            return reranker.available_models

    def close(self) -> None:
        """Closes the scorer that was made here; one that was passed is its owner's."""
        if self._made is not None:
            self._made.close()

    async def aclose(self) -> None:
        """As `close`, from a coroutine."""
        if self._made is not None:
            await self._made.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __getstate__(self) -> dict[Any, Any]:
        state = BaseModel.__getstate__(self)  # LlamaIndex's drops what it can't pickle
        kept = {"api_key": None, "default_headers": self.default_headers and _public(self.default_headers)}
        lost = self._key_lost or any(getattr(self, name) != value for name, value in kept.items())
        state["__dict__"] = {**state["__dict__"], **kept}
        state["__pydantic_private__"] = {**state["__pydantic_private__"], "_key_lost": lost}
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        BaseModel.__setstate__(self, state)

    @field_validator(*_RANK_OPTIONS, mode="before")
    @classmethod
    def _as_the_core_allows(cls, value: Any, info: ValidationInfo) -> Any:
        name = str(info.field_name)
        if name == "top_n" and isinstance(value, str) and value.strip().isdecimal():
            value = int(value)  # of a configuration; the official classes take it
        try:
            return getattr(RankOptions(**{name: value}), name)
        except TypeError as error:
            raise ValueError(str(error)) from error  # pydantic reports only these with the field's name

    @field_validator("instruction")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        return None if value is None else clean_instruction(value)

    @model_serializer(mode="wrap")
    def custom_model_dump(
        self,
        handler: SerializerFunctionWrapHandler,
        info: SerializationInfo,  # noqa: ARG002 (LlamaIndex's signature)
    ) -> dict[str, Any]:
        """The fields, never a key: of a scorer made here its settings or what describes it, else its name."""
        dumped: dict[str, Any] = handler(self)
        if self._spec is not None and "scorer" in dumped:
            dumped["scorer"] = self._spec
        dropped = ("scorer",) if self._own else _SETTINGS.keys() - {"scorer"}
        return {name: value for name, value in dumped.items() if name not in dropped}

    def _for_call(self, top_n: int | EllipsisType | None, instruction: str | None) -> Self:
        """This adapter, or for a call that says how many it wants, or why, a copy that does."""
        asked = {} if top_n is ... else {"top_n": top_n}
        told = {} if instruction is None else {"instruction": instruction}
        return self.model_copy(update=asked | told) if asked or told else self

    def _rank_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _RANK_OPTIONS}

    def _rank_arguments(
        self,
        query: str,
        candidates: Candidates,
        retrieval_scores: Callable[[], list[float | None]],
    ) -> dict[str, Any]:
        """Arguments of `rerank`."""
        fetch = self.fetch_images
        scorer, passages, images = readable_images(self.scorer, candidates, fetch_images=fetch)
        if images:
            scorer, passages = with_images(scorer, passages, images, fetch_images=fetch)
        return self._asked(scorer, query, passages, retrieval_scores)

    async def _arank_arguments(
        self,
        query: str,
        candidates: Candidates,
        retrieval_scores: Callable[[], list[float | None]],
    ) -> dict[str, Any]:
        """As `_rank_arguments`; images are read in a thread."""
        fetch = self.fetch_images
        scorer, passages, images = readable_images(self.scorer, candidates, fetch_images=fetch)
        if images:
            reading = partial(with_images, scorer, passages, images, fetch_images=fetch)
            scorer, passages = await asyncio.to_thread(reading)
        return self._asked(scorer, query, passages, retrieval_scores)

    def _asked(
        self,
        scorer: Scorer,
        query: str,
        passages: Sequence[str],
        retrieval_scores: Callable[[], list[float | None]],
    ) -> dict[str, Any]:
        fusion = as_fusion(self.fuse)
        known = retrieval_scores() if fusion and fusion.needs_scores else None
        asked = {"scorer": scorer, "query": query, "passages": passages, "retrieval_scores": known}
        return asked | self._rank_options() | {"instruction": self.instruction}

    def _server(self) -> str | None:
        """`base_url` as this adapter reads it."""
        return self.base_url

    def _settle_scorer(self, made: Scorer | None, spec: object) -> None:
        """Makes the scorer, unless one was passed or just made, which settings would contradict."""
        self._key_lost, self._listed, self._own, self._made, self._spec = False, None, None, made, spec
        if self.scorer is None:
            self._own = self._made = self.__dict__["scorer"] = self._hosted_scorer()
            if self._own.name != type(self._own).__name__:  # it knows its model
                self.__dict__["model"] = self._own.name
        if self.instruction is not None:
            self.scorer.with_instruction(self.instruction)  # what can be refused now is
        if self._own:
            return
        expected = _SETTINGS | {"scorer": self.scorer}
        given = [name for name, value in expected.items() if getattr(self, name) not in (value, {})]
        if leave := ", ".join(given):
            raise ValueError(
                f"scorer= has settings of its own: leave {leave} out, or make the scorer with them"
            )

    def _hosted_scorer(self) -> HostedScorer:
        from .hosted import HostedScorer

        self.__dict__["model"] = model = self.model or None  # "" of an unset variable
        self.__dict__["base_url"] = self.base_url or os.environ.get("NVIDIA_BASE_URL") or None
        if kind := other_kind(model, self._server()):
            warnings.warn(
                f"Model {model} is incompatible with client NVIDIARerank: by its name it is {kind} model. "
                "NVIDIARerank.get_available_models() lists those that rank.",
                stacklevel=4,
            )
        known = models.find(model or "")
        most = known.max_passages if known else 512
        try:
            return HostedScorer(
                model,
                base_url=self._server(),
                api_key=self.api_key,
                headers=self.default_headers,
                truncate=... if self.truncate is None and self.long_passages else self.truncate,
                max_batch_size=self.max_batch_size and min(self.max_batch_size, most),
                send_key_over_http=self.send_key_over_http,
                **{name: value for name in _PASSED_ON if (value := getattr(self, name)) is not None},
            )
        except MissingKeyError as error:
            if model is None or not of_another_maker(model):
                raise
            raise MissingKeyError(
                f"NVIDIA hosts no {model}, as far as we know: scorer='local:{model}' runs it on this "
                "machine, base_url= names a server that has it (NVIDIA's own want a key, NVIDIA_API_KEY)"
            ) from error


_SETTINGS = {
    name: field.default for name, field in RerankFields.model_fields.items() if name not in _OF_A_CALL
}
