"""Which of a classifier's labels means relevant, and the logit of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nvrerank.errors import ModelLoadError

from .config import Config

_YES = {"1", "positive", "relevant", "true", "yes"}
_NO = {"0", "false", "irrelevant", "negative", "no", "non_relevant", "non-relevant", "not_relevant"}


@dataclass(frozen=True)
class Labels:
    """The label whose logit is the score.

    Attributes:
        count: How many labels the head has.
        chosen: The one that means relevant.
        apart: Whether each label is a question of its own (problem_type multi_label_classification).
    """

    count: int
    chosen: int
    apart: bool = False

    @classmethod
    def find(cls, config: Config, count: int, wanted: int | str | None) -> Labels:
        """Finds it by what was asked for, or by convention.

        One label is the logit itself. Of two without names of their own, the second is "relevant", as for
        FlashRank (softmax, class 1: flashrank/Ranker.py) and NVIDIA's two-label rerankers.

        Args:
            config: config.json, whose id2label names them.
            count: How many the head has.
            wanted: An index or a name; None: by convention.

        Raises:
            ModelLoadError: There is no such label, or no convention says which.
        """
        apart = config.values.get("problem_type") == "multi_label_classification"
        names = _names(config, count)
        if wanted is not None:
            places = {name.casefold(): place for place, name in enumerate(names)}
            chosen = wanted if isinstance(wanted, int) else places.get(wanted.casefold(), -1)
            if not 0 <= chosen < count:
                raise ModelLoadError(
                    f"{config.file}: label {wanted!r:.80} is none of its {count} labels {names}"
                )
            return cls(count, chosen, apart)
        usual = names == [f"LABEL_{place}" for place in range(count)] or (
            names[-1].casefold() in _YES or names[0].casefold() in _NO
        )
        if count == 1 or (count == 2 and usual):  # noqa: PLR2004  # no, yes
            return cls(count, count - 1, apart)
        raise ModelLoadError(
            f"{config.file}: {count} labels {names}: a classifier, not a reranker, unless "
            "LocalScorer(label=...) says which label means relevant"
        )

    def logit(self, labels: Tensor) -> Tensor:
        """The log-odds of the chosen label among all: [pairs, labels] to [pairs].

        Its sigmoid is the softmax's probability; of two labels it is their difference.
        """
        own = labels[:, self.chosen]
        if self.count == 1 or self.apart:
            return own
        others = torch.cat((labels[:, : self.chosen], labels[:, self.chosen + 1 :]), dim=1)
        return own - others.logsumexp(1)


def _names(config: Config, count: int) -> list[str]:
    section = config.section("id2label")
    given = {str(place): str(name) for place, name in section.values.items()} if section else {}
    return [given.get(str(place), f"LABEL_{place}") for place in range(count)]
