"""The figures of an evaluation, from each query's values. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from statistics import fmean

from .metrics import Stratum, Values, stratum
from .report import Figure, SetInfo
from .task import Task

ABSENT = "judged passages that are not in the corpus, never found, as in BEIR"
IRRELEVANT = "queries to which nothing is relevant, 0 by each metric, as in BEIR"

Bounds = Callable[[Sequence[Stratum]], tuple[float, float]]
"""Gives the ends of the interval of a weighted sum of means."""

_BySet = Sequence[Sequence[Mapping[str, float]]]  # each query's value, by set and task


def set_infos(tasks: Sequence[Task], remarks: Mapping[str, Counter[str]]) -> tuple[SetInfo, ...]:
    """What the tasks are, set by set; of remarks on a set in several languages those on the worst pair."""
    return tuple(_set_info(name, mine, remarks) for name, mine in _by_set(tasks).items())


def _by_set(tasks: Sequence[Task]) -> dict[str, list[Task]]:
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
        averaged=tuple("-".join(task.languages) for task in _counted(tasks) if task.languages),
        query_languages=asked,
        passage_languages=searched,
        remarks=dict(reduce(or_, (remarks[task.label] | _remarks(task) for task in tasks))),
    )


def _remarks(task: Task) -> Counter[str]:
    without = sum(max(grades.values()) <= 0 for grades in task.judged.values())
    return +Counter({ABSENT: len(task.absent), IRRELEVANT: without})


def _counted(tasks: Sequence[Task]) -> Sequence[Task]:
    """The tasks that a set's figure is the mean of: pairs of different languages, where there are such."""
    return [task for task in tasks if task.crosses] or tasks


def pipeline_figures(
    tasks: Sequence[Task], values: Mapping[str, Values], base: Mapping[str, Values] | None, bounds: Bounds
) -> tuple[dict[str, Figure], dict[str, dict[str, Figure]], dict[str, dict[str, dict[str, float]]]]:
    """Average, sets and pairs of a `PipelineRow`.

    Args:
        tasks: All tasks.
        values: The pipeline's values by task, without the tasks in which a query failed.
        base: Those of the retriever alone; None: that is this.
        bounds: Gives a gain's interval.
    """
    metrics = next(iter((base or values).values())).keys()
    sets = _by_set(tasks)
    whole = {name: mine for name, mine in sets.items() if all(one.label in values for one in mine)}

    def figures(names: Iterable[str]) -> dict[str, Figure]:
        labels = [[one.label for one in _counted(sets[name])] for name in names]

        def by_set(of: Mapping[str, Values], metric: str) -> _BySet:
            return [[of[label][metric] for label in of_set] for of_set in labels]

        return {
            metric: _figure(by_set(values, metric), None if base is None else by_set(base, metric), bounds)
            for metric in metrics
        }

    pairs = {
        name: {
            "-".join(one.languages): {metric: _mean(values[one.label][metric]) for metric in metrics}
            for one in mine
            if one.languages
        }
        for name, mine in whole.items()
    }
    average = figures(sets) if len(whole) == len(sets) else {}
    by_name = {name: figures([name]) for name in whole}
    return average, by_name, {name: of_set for name, of_set in pairs.items() if of_set}


def _figure(after: _BySet, before: _BySet | None, bounds: Bounds) -> Figure:
    """The mean over sets of the mean over their tasks, and the gain with its interval."""
    value = _mean_of_sets(after)
    if before is None:
        return Figure(value)
    parts = []
    for of_set in zip(after, before, strict=True):
        gains = [{query: new[query] - old[query] for query in new} for new, old in zip(*of_set, strict=True)]
        parts.append(stratum(gains, weight=1 / len(after)))
    fewest = min(len(part.gains) for part in parts)
    return Figure(value, value - _mean_of_sets(before), *bounds(parts), fewest)


def _mean_of_sets(values: _BySet) -> float:
    return fmean(fmean(map(_mean, of_set)) for of_set in values)


def _mean(values: Mapping[str, float]) -> float:
    return fmean(values.values())
