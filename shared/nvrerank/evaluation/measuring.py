"""Metrics for each query, by ir-measures. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence

import ir_measures
from ir_measures.measures import MeanAgg, Measure, registry

from .task import Task

Values = dict[str, dict[str, float]]
"""By metric and query."""

_NAME = re.compile(r"(?P<kind>\w+)(?P<parameters>\(.*\))?(@(?P<cut>\w+))?")


def metrics(names: str | Iterable[str]) -> tuple[Measure, ...]:
    """Reads names as ir-measures has them: R@5, nDCG@10, RR@10, P@1.

    Args:
        names: A list, or one string with commas between.

    Raises:
        ValueError: One is unknown, can't be computed here or is no mean over queries, there are none, or one
            is there twice.
    """
    wanted = names.split(",") if isinstance(names, str) else list(names)
    found = tuple(_metric(name.strip()) for name in wanted)
    if not found or len(set(map(str, found))) < len(found):
        raise ValueError(f"name at least one metric, each once, not {', '.join(wanted)!r}")
    return found


def measured(task: Task, orders: Mapping[str, Iterable[str]], wanted: Sequence[Measure]) -> Values:
    """How good orders are, query by query.

    Args:
        task: Queries and what is relevant to them.
        orders: For each query passages, best first; a query without an entry found nothing.
        wanted: The metrics.

    Returns:
        For each metric, by its name, each query's value; a query that found nothing has 0.

    Raises:
        ValueError: A metric can't be computed on these data.
    """
    qrels = {query: dict(task.relevant[query]) for query in task.queries}
    # places, not scores: who measures breaks ties in a way of its own
    run = {query: _by_place(orders.get(query, ())) for query in task.queries}
    values: Values = {str(one): dict.fromkeys(task.queries, 0.0) for one in wanted}
    try:
        for value in ir_measures.iter_calc(list(wanted), qrels, run):
            values[str(value.measure)][value.query_id] = float(value.value)
    except Exception as error:  # each of ir-measures' providers has errors of its own
        raise ValueError(f"{task.label}: {', '.join(values)} can't be computed: {error}") from error
    return values


def _by_place(order: Iterable[str]) -> dict[str, float]:
    return {passage: float(-place) for place, passage in enumerate(order)}


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
    _try_out(name, found)
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


def _try_out(name: str, metric: Measure) -> None:
    """Refuses what ir-measures can name but nothing installed here computes."""
    try:
        list(ir_measures.iter_calc([metric], {"1": {"1": 1, "2": 0}}, {"1": {"1": 2.0, "2": 1.0}}))
    except Exception as error:  # each provider has errors of its own
        raise ValueError(f"the metric {name!r} can't be computed here: {error}") from error
