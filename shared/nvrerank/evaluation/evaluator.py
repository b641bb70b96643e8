"""The whole evaluation: read, retrieve, score, rank, measure. Whatever was done before is not done again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, NamedTuple

from ir_measures.measures import Measure

from nvrerank._checks import checked_integer
from nvrerank.data_file import DataError
from nvrerank.fusion import FusionName, as_fusion

from .beir import read_set
from .figures import pipeline_figures, set_infos
from .metrics import Values, interval, measured
from .metrics import metrics as read_metrics
from .report import PipelineRow, Report, pipeline_name
from .retrieval import candidates, retriever_spec
from .score_cache import slug
from .scorers import Scorers, named_scorers
from .scoring import FailedQuery, TaskScores, scored
from .task import Task
from .trec import Candidates, Orders, write_run

if TYPE_CHECKING:
    from nvrerank.bulk.ray_engine import RayActors


def evaluate(
    data: str | Path | Task | Iterable[str | Path | Task],
    *,
    retrievers: str | Sequence[str] = ("bm25",),
    scorers: Scorers = (),
    fuse: Sequence[FusionName] = (),
    top_k: int = 40,
    metrics: str | Iterable[str] = ("R@5", "nDCG@10", "R@1"),
    out: str | Path | None = None,
    split: str = "test",
    query_languages: Sequence[str] | None = None,
    passage_languages: Sequence[str] | None = None,
    limit_queries: int | None = None,
    ignore_identical_ids: bool = True,
    strict: bool = False,
    seed: int = 0,
    resamples: int = 10_000,
    device: str | None = None,
    max_length: int | None = None,
    instruction: str | None = None,
    engine: Literal["local", "ray"] = "local",
    actors: int = 1,
    gpus_per_actor: float = 0,
    cpus_per_actor: float = 1,
    progress: bool = False,
) -> Report:
    """Measures retrieval before and after reranking.

    Everything that can be checked is checked before the first passage is scored. With `out`, run files,
    vectors and scores are kept there, each score as soon as it is known: call again with the same
    arguments after an interruption, or with other retrievers, metrics or `top_k`, and only pairs that
    have no score yet are scored. A pair that several retrievers found is scored once.

    Args:
        data: Folders in BEIR's layout, or tasks made otherwise.
        retrievers: "bm25", "embedding:NAME" or "run:FILE", a TREC run file; "{set}" in its name stands for
            the set's name, such as nq, or xquad.en-de.
        scorers: What `nvrerank.scorer_of` takes, such as "bundled", "local:FOLDER_OR_NAME" or "hosted:MODEL";
            a mapping gives them labels. Kept scores are known by the scorer's `identity`; those of a scorer
            that has none by its label, class, name and repr: one that scores otherwise needs another label.
            One whose scores depend on the other passages, such as a `Cascade`, goes with a single retriever;
            its scores, and those of a `Fallback`, are not kept.
        fuse: Further rows for each scorer: its order fused with retrieval's, by "rrf" or "zscore".
        top_k: Candidates a query, before and after.
        metrics: As ir-measures names them, the most important first.
        out: A folder; None: nothing is kept.
        split: Which file of qrels/ counts.
        query_languages: Of sets in several languages; None: all.
        passage_languages: Likewise.
        limit_queries: Take so many queries of each set, by chance; None: all.
        ignore_identical_ids: Drop from a query's candidates the passage with the query's own id, as BEIR
            does, unless it is judged relevant: in ArguAna and Quora it is the query itself.
        strict: Refuse judgements and run files that name something that is not there, and the like; else
            this is passed over and counted in the report's remarks.
        seed: Of this sample and of the intervals.
        resamples: Draws of the bootstrap.
        device: Of models that are loaded here.
        max_length: Tokens that local scorers made here read of query and passage.
        instruction: What each scorer is told of its task; None: what it says itself.
        engine: What scores: this process, or actors of Ray, each with copies of the scorers.
        actors: How many actors.
        gpus_per_actor: GPUs for each.
        cpus_per_actor: CPUs for each.
        progress: Whether bars on stderr show what is done and the time left.

    Returns:
        The figures. A query that could not be scored is in the row's `failures`; its set then has no
        figures in that row, and the row no average.

    Raises:
        DataError: The data, a run file or kept scores are broken.
        ValueError: An argument is out of range or unknown.
        NVRerankError: A scorer or a package has to be set up first.
    """
    wanted = read_metrics(metrics)
    retrievers = _checked_retrievers(retrievers)
    for name, value, least in (("top_k", top_k, 1), ("resamples", resamples, 1), ("seed", seed, 0)):
        checked_integer(name, value, least=least)
    for way in fuse:
        as_fusion(way)
    _refuse_twice("fusion", list(fuse))
    pool = _actors(engine, actors, gpus_per_actor, cpus_per_actor)
    read = partial(
        read_set,
        split=split,
        query_languages=query_languages,
        passage_languages=passage_languages,
        limit_queries=limit_queries,
        seed=seed,
        strict=strict,
    )
    with ExitStack() as stack:
        named = named_scorers(scorers, device=device, max_length=max_length, instruction=instruction)
        for one in named:
            if one.ours:
                stack.callback(one.scorer.close)
            if pool is not None and one.make is None:
                raise TypeError(
                    f"{one.label}: Ray's workers make the scorer themselves: give a string or a mapping"
                )
            if one.scorer.listwise and (len(retrievers) > 1 or fuse):
                raise ValueError(
                    f"scores of {one.label} depend on the other passages of the list: measure it with one "
                    "retriever and without fuse"
                )
        tasks = _tasks(data, read, strict=strict)
        labels = [_reranker(one.label, way) for one in named for way in (None, *fuse)]
        _refuse_shared([task.label for task in tasks])
        _refuse_shared([pipeline_name(one, label) for one in retrievers for label in (None, *labels)])
        kept = None if out is None else _folder(out)
        found, remarks = candidates(
            retrievers,
            tasks,
            top_k=top_k,
            work=kept or Path(stack.enter_context(TemporaryDirectory())),
            device=device,
            ignore_identical_ids=ignore_identical_ids,
            strict=strict,
            progress=progress,
        )
        measure = partial(_values, tasks, wanted)
        before = {label: measure(runs) for label, runs in found.items()}  # refuses a metric before the work
        answers = scored(tasks, found, named, kept, progress=progress, actors=pool)
        bounds = partial(interval, resamples=resamples, seed=seed)
        rows = []
        for retriever, scorer, orders, failures in _pipelines(found, answers, fuse):
            base = None if scorer is None else before[retriever]
            values = before[retriever] if base is None else measure(orders)
            figures = pipeline_figures(tasks, values, base, bounds)
            rows.append(row := PipelineRow(retriever, scorer, *figures, failures))
            if kept is not None:
                _save(kept / "runs", row.pipeline, tasks, orders)
    report = Report(tuple(map(str, wanted)), set_infos(tasks, remarks), tuple(rows), top_k, resamples, seed)
    if kept is not None:
        (kept / "report.json").write_text(report.to_json() + "\n", encoding="utf-8")
        (kept / "report.md").write_text(report.to_markdown() + "\n", encoding="utf-8")
    return report


def _actors(engine: str, count: object, gpus: object, cpus: object) -> RayActors | None:
    """Who scores on Ray; None: nobody.

    Raises:
        ValueError: There is no such engine, or a number is out of range.
    """
    if engine not in ("local", "ray"):
        raise ValueError(f"engine must be 'local' or 'ray', not {engine!r}")
    if engine == "local":
        return None
    from nvrerank.bulk.ray_engine import RayActors

    return RayActors.checked(count, gpus, cpus)


def _checked_retrievers(given: str | Sequence[str]) -> list[str]:
    retrievers = [given] if isinstance(given, str) else list(given)
    if not retrievers:
        raise ValueError("name at least one retriever")
    for one in retrievers:
        retriever_spec(one)
    _refuse_twice("retriever", retrievers)
    return retrievers


class _Pipeline(NamedTuple):
    """A retriever, or one and what reranks it; orders by task, without the tasks in which a query failed."""

    retriever: str
    scorer: str | None
    orders: Mapping[str, Orders]
    failures: tuple[FailedQuery, ...] = ()


def _pipelines(
    found: Candidates, answers: Mapping[str, Sequence[TaskScores]], fuse: Sequence[FusionName]
) -> Iterator[_Pipeline]:
    """Each retriever alone, then reranked by each scorer, then fused with it."""
    for retriever, runs in found.items():
        yield _Pipeline(retriever, None, runs)
        for (label, scores), way in product(answers.items(), (None, *fuse)):
            orders = {
                one.task.label: {
                    query: one.order(query, order, way) for query, order in runs[one.task.label].items()
                }
                for one in scores
                if not one.failures
            }
            failures = tuple(failure for one in scores for failure in one.failures)
            yield _Pipeline(retriever, _reranker(label, way), orders, failures)


def _reranker(scorer: str, way: FusionName | None) -> str:
    return scorer if way is None else f"{scorer}, {way}"


def _values(
    tasks: Sequence[Task], wanted: Sequence[Measure], orders: Mapping[str, Orders]
) -> dict[str, Values]:
    """The values of the tasks that have orders."""
    mine = [task for task in tasks if task.label in orders]
    return {one.label: measured(one.judged, orders[one.label], wanted, label=one.label) for one in mine}


def _save(folder: Path, pipeline: str, tasks: Sequence[Task], orders: Mapping[str, Orders]) -> None:
    """Saves run files; what was saved before of a task that failed is not left to be taken for new."""
    name = slug(pipeline)
    for task in tasks:
        path = folder / slug(task.label) / f"{name}.trec"
        if task.label in orders:
            write_run(path, orders[task.label], name)
        else:
            path.unlink(missing_ok=True)


def _folder(out: str | Path) -> Path:
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{out} can't be the folder of results: {error.strerror}") from error
    return Path(out)


def _tasks(
    data: str | Path | Task | Iterable[str | Path | Task],
    read: Callable[[str | Path], list[Task]],
    *,
    strict: bool,
) -> list[Task]:
    given = [data] if isinstance(data, str | Path | Task) else list(data)
    if not given:
        raise ValueError("name at least one data set")
    groups = [[one] if isinstance(one, Task) else read(one) for one in given]
    folders = [group[0].name for one, group in zip(given, groups, strict=True) if not isinstance(one, Task)]
    tasks = [task for group in groups for task in group]
    _refuse_twice("data set", folders)
    _refuse_twice("data set", [task.label for task in tasks])
    for task in tasks if strict else ():
        if absent := task.absent:
            raise DataError(f"{task.label}: the judged passage {absent[0][1]!r} is not in the corpus")
    return tasks


def _refuse_twice(kind: str, labels: Sequence[str]) -> None:
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise ValueError(f"the {kind} {twice!r} is there twice")


def _refuse_shared(labels: Sequence[str]) -> None:
    """Refuses names that are one as names of files: what is saved of one would replace the other's."""
    files: dict[str, str] = {}
    for label in labels:
        other = files.setdefault(slug(label).casefold(), label)
        if other != label:
            raise ValueError(f"{other!r} and {label!r} would both be saved as {slug(label)}: rename one")
