"""Each pipeline's orders, measured and saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from nvrerank.fusion import FusionName

from .digests import slug
from .jobs import ranked
from .measuring import Values
from .report import Interval, Row, row
from .runs import Candidates, Found, Order, write_run
from .scoring import Scored
from .task import Task

Orders = Mapping[str, Order]
"""By query its passages, best first, with their scores."""


Baselines = Mapping[str, Mapping[str, Values]]
"""By retriever and task the values of its order alone."""


def baselines(
    tasks: Sequence[Task], found: Candidates, measure: Callable[[Task, Orders], Values]
) -> Baselines:
    """Measures each retriever alone: what can't be measured is known before anything is scored.

    Args:
        tasks: All tasks.
        found: The candidates.
        measure: Gives a task's values.
    """
    return {
        retriever: {task.label: measure(task, runs[task.label]) for task in tasks}
        for retriever, runs in found.items()
    }


def pipelines(retrievers: Iterable[str], scorers: Sequence[str], fuse: Sequence[FusionName]) -> list[str]:
    """What the pipelines are called, in the order of the rows."""
    reranked = [_reranker(scorer, way) for scorer, way in product(scorers, (None, *fuse))]
    return [name for one in retrievers for name in (one, *(f"{one} + {each}" for each in reranked))]


def _reranker(scorer: str, way: FusionName | None) -> str:
    return scorer if way is None else f"{scorer}, {way}"


def rows(
    tasks: Sequence[Task],
    found: Candidates,
    before: Baselines,
    scored: Sequence[Scored],
    *,
    measure: Callable[[Task, Orders], Values],
    bounds: Interval,
    kept: Path | None,
    fuse: Sequence[FusionName] = (),
) -> Iterator[Row]:
    """Each retriever's row, then those of each scorer; their run files are saved on the way.

    Args:
        tasks: All tasks.
        found: The candidates.
        before: The values of each retriever alone.
        scored: What each scorer made of the candidates.
        measure: Gives a task's values.
        bounds: Gives a gain's interval.
        kept: Where run files go; None: nowhere.
        fuse: Further rows for each scorer: its order fused with retrieval's.
    """
    for retriever, runs in found.items():
        base = before[retriever]
        _save(kept, {task.label: runs[task.label] for task in tasks}, retriever)
        yield row(tasks, base, None, retriever=retriever, scorer=None, failures=(), bounds=bounds)
        for one, way in product(scored, (None, *fuse)):
            label = _reranker(one.label, way)
            failed = {failure.task for failure in one.failures}
            after = {
                task.label: _reranked(task, runs[task.label], one.scores[task.label], way)
                for task in tasks
                if task.label not in failed
            }
            values = {task.label: measure(task, after[task.label]) for task in tasks if task.label in after}
            _save(kept, {**dict.fromkeys(failed), **after}, f"{retriever} + {label}")
            yield row(
                tasks,
                values,
                base,
                retriever=retriever,
                scorer=label,
                failures=one.failures,
                bounds=bounds,
            )


def _reranked(
    task: Task,
    found: Mapping[str, Found],
    scores: Mapping[str, Mapping[str, float]],
    fuse: FusionName | None,
) -> Orders:
    return {query: ranked(task, query, found.get(query, {}), scores[query], fuse) for query in task.queries}


def _save(kept: Path | None, orders: Mapping[str, Orders | None], pipeline: str) -> None:
    """Saves run files; what was saved before of a task that failed is not left to be taken for new."""
    if kept is None:
        return
    for label, order in orders.items():
        path = kept / "runs" / slug(label) / f"{slug(pipeline)}.trec"
        if order is None:
            path.unlink(missing_ok=True)
        else:
            write_run(path, order, slug(pipeline))
