"""What both adapters can be told, as pydantic fields. The only module that imports pydantic, which both
frameworks bring.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_serializer, field_validator

from .ranking import OnError, RankOptions, ScoreMode
from .scorer import Scorer

_RANK_OPTIONS = tuple(field.name for field in fields(RankOptions))


class RerankFields(BaseModel):
    """Fields of an adapter: the scorer and the options of `rerank`, which decides what each may be.

    Attributes:
        scorer: What scores: `nvrerank.LocalScorer()` or any other `nvrerank.Scorer`.
        top_n: At most so many results; None: all, 0: none.
        threshold: Least score that stays (inclusive), compared after `score_mode`; drops blanks.
        score_mode: "logit" as the model gives it, or "sigmoid" for 0..1.
        on_error: "raise", or "passthrough": the retrieval order cut to top_n, and one warning.

    Raises:
        pydantic.ValidationError: An option is unknown, of the wrong type or out of range; also when
            it is assigned later.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", validate_assignment=True)

    scorer: Scorer
    top_n: int | None = 5
    threshold: float | None = None
    score_mode: ScoreMode = "logit"
    on_error: OnError = "raise"

    @field_validator(*_RANK_OPTIONS, mode="before")
    @classmethod
    def _as_the_core_allows(cls, value: Any, info: ValidationInfo) -> Any:
        name = str(info.field_name)
        try:
            return getattr(RankOptions(**{name: value}), name)
        except TypeError as error:
            raise ValueError(str(error)) from error  # pydantic reports only these with the field's name

    @field_serializer("scorer")
    def _by_name(self, scorer: Scorer) -> str:
        return scorer.name

    def _rank_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _RANK_OPTIONS}
