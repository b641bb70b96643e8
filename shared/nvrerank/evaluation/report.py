"""The figures of an evaluation, from each query's values. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import or_
from statistics import fmean

from .metrics import Stratum, Values, stratum
from .scoring import FailedQuery
from .task import Task

ABSENT = "judged passages that are not in the corpus, never found, as in BEIR"
IRRELEVANT = "queries to which nothing is relevant, 0 by each metric, as in BEIR"

Bounds = Callable[[Sequence[Stratum]], tuple[float, float]]
"""Gives the ends of the interval of a weighted sum of means."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric's value, and what a scorer gained over its retriever.

    Attributes:
        value: The mean, a fraction.
        gain: The mean gain over the retriever alone; None: it is the retriever.
        low: Lower end of the gain's 95 % interval.
        high: Its upper end.
        queries: How many the interval is drawn from; of several sets, those of the smallest.
    """

    value: float
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    queries: int | None = None


@dataclass(frozen=True, slots=True)
class SetInfo:
    """What was measured on.

    Attributes:
        name: The data set.
        queries: How many were asked.
        of: How many judged queries it has.
        passages: How many were searched, in one language.
        pairs: Language pairs, query-passage; none for a set in one language.
        averaged: Of these, those that the set's figure is the mean of.
        query_languages: Of the pairs.
        passage_languages: Likewise.
        remarks: What is to be known of it, and how often: judgements that name nothing, the queries' own
            passages that were dropped.
    """

    name: str
    queries: int
    of: int
    passages: int
    pairs: tuple[str, ...] = ()
    averaged: tuple[str, ...] = ()
    query_languages: tuple[str, ...] = ()
    passage_languages: tuple[str, ...] = ()
    remarks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """A pipeline's figures.

    Attributes:
        retriever: What found the candidates.
        scorer: What reranked them; None: nothing did.
        average: By metric, the mean over the sets; empty if a query failed.
        sets: By set and metric; without the sets in which a query failed.
        pairs: By set, language pair and metric: the mean.
        failures: Queries that could not be scored.
    """

    retriever: str
    scorer: str | None
    average: Mapping[str, Figure]
    sets: Mapping[str, Mapping[str, Figure]]
    pairs: Mapping[str, Mapping[str, Mapping[str, float]]]
    failures: tuple[FailedQuery, ...] = ()

    @property
    def pipeline(self) -> str:
        """Retriever and scorer, as a table calls them."""
        return self.retriever if self.scorer is None else f"{self.retriever} + {self.scorer}"


@dataclass(frozen=True, slots=True)
class Report:
    """What `evaluate` returns.

    Attributes:
        metrics: Their names, the most important first.
        sets: What was measured on.
        rows: For each retriever its own row, then one for each scorer.
        top_k: Candidates a query.
        resamples: Draws behind each interval.
        seed: Of the sample of queries and of the draws.
    """

    metrics: tuple[str, ...]
    sets: tuple[SetInfo, ...]
    rows: tuple[PipelineRow, ...]
    top_k: int
    resamples: int
    seed: int

    @property
    def failures(self) -> tuple[FailedQuery, ...]:
        """All queries that could not be scored; each once, whatever the number of retrievers."""
        return tuple(dict.fromkeys(one for row in self.rows for one in row.failures))

    @property
    def remarks(self) -> list[str]:
        """What is to be known of the sets, a line each."""
        return [f"{one.name}: {what}: {count:,}" for one in self.sets for what, count in one.remarks.items()]

    def to_json(self) -> str:
        """Everything, as one JSON document; values are fractions."""
        rows = [{"pipeline": row.pipeline, **asdict(row)} for row in self.rows]
        return json.dumps({**asdict(self), "rows": rows}, indent=2, ensure_ascii=False)

    def to_text(self) -> str:
        """The table and what belongs to it, for a terminal."""
        from .tables import as_text

        return as_text(self)

    def to_markdown(self) -> str:
        """The table and what belongs to it, in Markdown."""
        from .tables import as_markdown

        return as_markdown(self)


def set_infos(tasks: Sequence[Task], remarks: Mapping[str, Counter[str]]) -> tuple[SetInfo, ...]:
    """What the tasks are, set by set.

    Args:
        tasks: All tasks.
        remarks: What was remarked of each; of a set in several languages that of the worst pair counts.
    """
    return tuple(_set_info(name, mine, remarks) for name, mine in by_set(tasks).items())


def by_set(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    """The tasks of each data set."""
    sets: dict[str, list[Task]] = {}
    for task in tasks:
        sets.setdefault(task.name, []).append(task)
    return sets


def _set_info(name: str, tasks: Sequence[Task], remarks: Mapping[str, Counter[str]]) -> SetInfo:
    first, languages = tasks[0], [task.languages for task in tasks if task.languages]
    asked, searched = (tuple(dict.fromkeys(pair[side] for pair in languages)) for side in (0, 1))
    return SetInfo(
        name,
        queries=len(first.queries),
        of=first.of or len(first.queries),
        passages=len(first.passages),
        pairs=tuple(map("-".join, languages)),
        averaged=tuple("-".join(task.languages) for task in counted(tasks) if task.languages),
        query_languages=asked,
        passage_languages=searched,
        remarks=dict(reduce(or_, (remarks[task.label] | _remarks(task) for task in tasks))),
    )


def _remarks(task: Task) -> Counter[str]:
    without = sum(max(grades.values()) <= 0 for grades in task.judged.values())
    return +Counter({ABSENT: len(task.absent), IRRELEVANT: without})


def counted(tasks: Sequence[Task]) -> list[Task]:
    """The tasks that a set's figure is the mean of: pairs of different languages, where there are such."""
    return [task for task in tasks if task.crosses] or list(tasks)


def pipeline_row(
    tasks: Sequence[Task],
    values: Mapping[str, Values],
    base: Mapping[str, Values] | None,
    *,
    retriever: str,
    scorer: str | None,
    failures: Sequence[FailedQuery],
    bounds: Bounds,
) -> PipelineRow:
    """A pipeline's row.

    Args:
        tasks: All tasks.
        values: Its values, by task; without the tasks in which a query failed.
        base: The retriever's; None: this is the retriever.
        retriever: Its label.
        scorer: Its label.
        failures: What failed; a set with a failure has no figures, and then there is no average.
        bounds: Gives a gain's interval.
    """
    names = next(iter((base or values).values())).keys()
    sets = by_set(tasks)
    whole = {name: mine for name, mine in sets.items() if all(one.label in values for one in mine)}

    def figures(groups: Sequence[Sequence[Task]]) -> dict[str, Figure]:
        return {metric: _figure(list(map(counted, groups)), metric, values, base, bounds) for metric in names}

    pairs = {
        name: {
            "-".join(one.languages): {metric: _mean(values[one.label][metric]) for metric in names}
            for one in mine
            if one.languages
        }
        for name, mine in whole.items()
    }
    return PipelineRow(
        retriever,
        scorer,
        average=figures(list(sets.values())) if whole.keys() == sets.keys() else {},
        sets={name: figures([mine]) for name, mine in whole.items()},
        pairs={name: of_set for name, of_set in pairs.items() if of_set},
        failures=tuple(failures),
    )


def _figure(
    sets: Sequence[Sequence[Task]],
    metric: str,
    values: Mapping[str, Values],
    base: Mapping[str, Values] | None,
    bounds: Bounds,
) -> Figure:
    """The mean over sets of the mean over their tasks."""
    value = _mean_of_sets(sets, metric, values)
    if base is None:
        return Figure(value)
    parts: list[Stratum] = []
    for tasks in sets:
        after, before = ([of[one.label][metric] for one in tasks] for of in (values, base))
        gains = [{q: new[q] - old[q] for q in new} for new, old in zip(after, before, strict=True)]
        parts.append(stratum(gains, weight=1 / len(sets)))
    fewest = min(len(part.gains) for part in parts)
    return Figure(value, value - _mean_of_sets(sets, metric, base), *bounds(parts), fewest)


def _mean_of_sets(sets: Sequence[Sequence[Task]], metric: str, values: Mapping[str, Values]) -> float:
    return fmean(fmean(_mean(values[one.label][metric]) for one in tasks) for tasks in sets)


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)
