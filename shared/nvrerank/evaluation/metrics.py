"""Metrics for each query, by ir-measures, and how far a gain may be chance. Pure.

Intervals are by the percentile method of Efron and Tibshirani (An Introduction to the Bootstrap, 1993,
chapter 13) on the differences of the same queries before and after: queries are drawn anew, with
replacement, within each set.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import ir_measures
import numpy as np
from ir_measures.measures import MeanAgg, Measure, registry

Values = dict[str, dict[str, float]]
"""By metric and query."""

_CELLS = 1_000_000  # drawn at once
_NAME = re.compile(r"(?P<kind>\w+)(?P<parameters>\(.*\))?(@(?P<cut>\w+))?")


def metrics(names: str | Iterable[str]) -> tuple[Measure, ...]:
    """Reads names as ir-measures has them (R@5, nDCG@10, RR@10, P@1), in a list or with commas between.

    Raises:
        ValueError: One is unknown, can't be computed here or is no mean over queries, there are none, or one
            is there twice.
    """
    wanted = names.split(",") if isinstance(names, str) else list(names)
    found = tuple(_metric(name.strip()) for name in wanted)
    if not found or len(set(map(str, found))) < len(found):
        raise ValueError(f"name at least one metric, each once, not {', '.join(wanted)!r}")
    return found


def measured(
    qrels: Mapping[str, Mapping[str, int]],
    orders: Mapping[str, Iterable[str]],
    wanted: Sequence[Measure],
    *,
    label: str = "",
) -> Values:
    """How good orders are, query by query, as trec_eval has it.

    Args:
        qrels: For each query its judged passages and their grades.
        orders: For each query passages, best first; one that has no entry, or nothing relevant, has 0.
        wanted: The metrics.
        label: What is measured on, for the error.

    Raises:
        ValueError: A metric can't be computed on these data.
    """
    # places, not scores: who measures breaks ties in a way of its own
    run = {query: {one: -float(n) for n, one in enumerate(orders.get(query, ()))} for query in qrels}
    values: Values = {str(one): dict.fromkeys(qrels, 0.0) for one in wanted}
    try:
        judged = {query: dict(grades) for query, grades in qrels.items()}
        for value in ir_measures.iter_calc(list(wanted), judged, run):
            values[str(value.measure)][value.query_id] = float(value.value)
    except Exception as error:  # each of ir-measures' providers has errors of its own
        raise ValueError(f"{label}: {', '.join(values)} can't be computed: {error}") from error
    return values


def _metric(name: str) -> Measure:
    try:
        found = _read(name)
    except (LookupError, ValueError, SyntaxError) as error:
        raise ValueError(
            f"the metric {name!r} is unknown to ir-measures: such are R@5, nDCG@10, RR@10"
        ) from error
    if not isinstance(found.aggregator(), MeanAgg):
        raise ValueError(f"the metric {name!r} is no mean over queries")  # noqa: TRY004
    cutoff = found.params.get("cutoff", 1)
    if isinstance(cutoff, bool) or not isinstance(cutoff, int) or cutoff < 1:  # it would end the process
        raise ValueError(f"the metric {name!r} must cut at a whole number from 1, such as R@5")
    try:  # ir-measures can name what nothing installed here computes
        list(ir_measures.iter_calc([found], {"1": {"1": 1, "2": 0}}, {"1": {"1": 2.0, "2": 1.0}}))
    except Exception as error:  # each provider has errors of its own
        raise ValueError(f"the metric {name!r} can't be computed here: {error}") from error
    return found


def _read(name: str) -> Measure:
    """KIND(parameter=value, ...)@CUT; ir-measures' own reader needs what Python 3.14 has no more."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise ValueError(name)
    measure: Measure = registry[parts["kind"]]
    call = ast.parse(f"_{parts['parameters'] or '()'}", mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise ValueError(name)
    measure = measure(**{str(one.arg): ast.literal_eval(one.value) for one in call.keywords})
    return measure if parts["cut"] is None else measure @ ast.literal_eval(parts["cut"])


@dataclass(frozen=True, slots=True)
class Stratum:
    """The gains of queries that are drawn together, and what their mean counts for."""

    weight: float
    gains: Sequence[float]


def stratum(gains: Sequence[Mapping[str, float]], *, weight: float = 1.0) -> Stratum:
    """A set's tasks, all of which count the same, as one stratum.

    The same question in several languages is drawn once for all of them: they are not independent. Where
    not every task has every question, a question's gain is what it moves the mean of its tasks' means by,
    times the number of questions, about that mean: the bootstrap of the linearised mean. Where every task
    has all, that is the question's mean over the tasks.
    """
    means = [sum(one.values()) / len(one) for one in gains]
    middle = sum(means) / len(means)
    pulls: dict[str, float] = {}
    for one, mean in zip(gains, means, strict=True):
        for query, gain in one.items():
            pulls[query] = pulls.get(query, 0.0) + (gain - mean) / (len(one) * len(gains))
    return Stratum(weight, [middle + len(pulls) * pull for pull in pulls.values()])


def interval(
    parts: Sequence[Stratum], *, resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Where the middle `level` of the weighted sums of the strata's means lies, each drawn by itself.

    Raises:
        ValueError: There is nothing to draw from, or resamples is less than 1.
    """
    if resamples < 1 or not parts or not all(len(part.gains) for part in parts):
        raise ValueError("an interval needs at least one query in each set and one resample")
    random = np.random.default_rng(seed)
    sums = np.zeros(resamples)
    for part in parts:
        gains = np.asarray(part.gains, np.float64)
        rows = max(1, _CELLS // len(gains))
        for start in range(0, resamples, rows):
            drawn = random.integers(0, len(gains), size=(min(rows, resamples - start), len(gains)))
            sums[start : start + rows] += part.weight * gains[drawn].mean(axis=1)
    low, high = np.quantile(sums, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
