"""A `Scorer` as LangChain's cross-encoder, for its own `CrossEncoderReranker` and whatever else takes one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.cross_encoders import BaseCrossEncoder

from nvrerank import Scorer, rerank, scorer_of


class RerankCrossEncoder(BaseCrossEncoder):
    """Scores pairs of a query and a text by any scorer of nvrerank.

    Args:
        scorer: `nvrerank.LocalScorer()` or any other `nvrerank.Scorer`, or what `nvrerank.scorer_of` makes
            one of: "bundled", "hosted:MODEL".
    """

    def __init__(self, scorer: Scorer | str | Mapping[str, Any]) -> None:
        self.scorer = scorer_of(scorer)

    def score(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Scores pairs; those of one query in one call.

        Args:
            text_pairs: (query, text) for each pair.

        Returns:
            A raw score for each, in input order; larger is more relevant. A blank text's is -inf.

        Raises:
            TypeError: A text is not a string.
            ValueError: A query is blank.
            nvrerank.NVRerankError: The scorer failed.
        """
        places: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(text_pairs):
            places.setdefault(query, []).append(place)
        scores = [-math.inf] * len(text_pairs)
        for query, those in places.items():
            for one in rerank(self.scorer, query, [text_pairs[place][1] for place in those]):
                if one.score is not None:
                    scores[those[one.index]] = one.score
        return scores
