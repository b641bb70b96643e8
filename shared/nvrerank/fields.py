"""What both adapters can be told, as pydantic fields. Only this module and `hosted_fields` import pydantic,
which both frameworks bring.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_serializer,
)
from pydantic.json_schema import SkipJsonSchema

from .errors import MissingKeyError
from .fusion import Fusion, FusionName, as_data, as_fusion
from .hosted_fields import KEYS, SETTINGS, HostedFields, hide, public
from .nvidia_compat import AvailableModel, available, hosted_models, in_our_names, other_kind
from .ranking import OnError, RankOptions, ScoreMode
from .scorer import Scorer

if TYPE_CHECKING:
    from .hosted import HostedScorer

_RANK_OPTIONS = tuple(field.name for field in fields(RankOptions))


class RerankFields(HostedFields):
    """Fields of an adapter: its scorer, or what to make one of, and the options of `rerank`.

    Attributes:
        scorer: What scores: `nvrerank.LocalScorer()` or any other `nvrerank.Scorer`. None: a `HostedScorer`
            that is made of the fields of `HostedFields`; a scorer that is passed excludes them.
        top_n: At most so many results; None: all, 0: none.
        threshold: Least score that stays (inclusive), compared after `score_mode`; drops blanks.
        score_mode: "logit" as the model gives it, or "sigmoid" for 0..1.
        on_error: "raise", or "passthrough": the retrieval order cut to top_n, and one warning.
        fuse: None orders by the reranker alone; "rrf" fuses with the retrieval order, "zscore" with the
            retrieval scores; a record of `nvrerank.fusion` has parameters.

    Raises:
        ValueError: An option is unknown, of the wrong type, out of range or at odds with another; most
            are a `pydantic.ValidationError`. Also when it is assigned later, and then nothing changes.
        TypeError: A key or header is of the wrong type.
        MissingKeyError: NVIDIA's host wants a key and there is none.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True, validate_assignment=True
    )

    scorer: SkipJsonSchema[Scorer] = None  # type: ignore[assignment]  # made by the constructor
    top_n: int | None = 5
    threshold: float | None = None
    score_mode: ScoreMode = "logit"
    on_error: OnError = "raise"
    fuse: Fusion | FusionName | None = None

    _own: HostedScorer | None = PrivateAttr(None)
    _key_lost: bool = PrivateAttr(False)
    _listed: list[AvailableModel] | None = PrivateAttr(None)

    def __init__(self, **given: Any) -> None:
        hide(given)
        options = in_our_names(given)
        if options.get("scorer") is None:
            options.pop("scorer", None)
            options["model"] = options.get("model") or None  # "" of an unset variable
            options["base_url"] = options.get("base_url") or os.environ.get("NVIDIA_BASE_URL") or None
        super().__init__(**options)
        self._settle()

    def __setattr__(self, name: str, value: Any) -> None:
        given = {name: value}
        del value  # a traceback shows what a frame holds
        hide(given)
        if name != "scorer" and name not in SETTINGS:
            super().__setattr__(name, given[name])
            return
        if self._key_lost and name not in ("scorer", "default_headers", *KEYS):
            raise MissingKeyError("a pickle holds no key and no secret header: assign api_key first")
        before = self.model_copy()
        try:
            super().__setattr__(name, given[name])
            self._settle(name)
        except Exception:
            self.__dict__.update(before.__dict__)
            raise

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
        """Closes the connections of the scorer that was made here; one that was passed is its owner's."""
        if self._own is not None:
            self._own.close()

    async def aclose(self) -> None:
        """As `close`, from a coroutine."""
        if self._own is not None:
            await self._own.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __getstate__(self) -> dict[Any, Any]:
        kept = {**dict.fromkeys(KEYS), "default_headers": public(self.default_headers)}
        lost = self._key_lost or any(getattr(self, name) != kept[name] for name in kept)
        state = BaseModel.__getstate__(self.model_copy(update=kept))
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

    @field_validator("scorer", mode="before")
    @classmethod
    def _no_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(  # noqa: TRY004 (pydantic reports only these with the field's name)
                "it must be an instance of Scorer, and a dump has only its name: pass the scorer itself "
                "beside what was saved, such as scorer=LocalScorer(); a hosted model's name goes into model="
            )
        return value

    @field_serializer("scorer")
    def _by_name(self, scorer: Scorer) -> str:
        return scorer.name

    @field_serializer("fuse")
    def _fusion_as_data(self, fuse: Fusion | FusionName | None) -> str | dict[str, Any] | None:
        return as_data(as_fusion(fuse))

    @model_serializer(mode="wrap")
    def custom_model_dump(
        self,
        handler: SerializerFunctionWrapHandler,
        info: SerializationInfo,  # noqa: ARG002 (LlamaIndex's signature)
    ) -> dict[str, Any]:
        """What was said: a scorer's name, or the settings of the one made here; never a key."""
        dumped: dict[str, Any] = handler(self)
        for name in SETTINGS if self._own is None else ("scorer",):
            dumped.pop(name, None)
        return dumped

    def _rank_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _RANK_OPTIONS}

    def _settle(self, assigned: str = "") -> None:
        """Makes the scorer, unless one was passed, which settings would contradict."""
        if assigned == "scorer":
            self.__dict__.update({name: field.default for name, field in HostedFields.model_fields.items()})
        if "scorer" not in self.model_fields_set:
            if kind := other_kind(self.model, self._server()):
                warnings.warn(
                    f"Model {self.model} is incompatible with client NVIDIARerank: by its name it is {kind} "
                    "model. NVIDIARerank.get_available_models() lists those that rank.",
                    stacklevel=3,
                )
            self._own = self.__dict__["scorer"] = self._hosted_scorer()
            if self._own.name != type(self._own).__name__:  # it knows its model
                self.__dict__["model"] = self._own.name
        elif said := ", ".join(self._said()):
            raise ValueError(
                f"scorer= has settings of its own: leave {said} out, or make the scorer with them"
            )
        else:
            self._own = None
        self._key_lost, self._listed = False, None
