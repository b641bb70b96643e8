"""The whole evaluation: read, retrieve, score, rank, measure. Whatever was done before is not done again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from nvrerank.fusion import FusionName, as_fusion

from .bootstrap import interval
from .digests import slug
from .errors import DataError
from .making import Named, Scorers, named_scorers
from .measuring import measured
from .measuring import metrics as read_metrics
from .reading import read_set
from .report import Report, set_infos
from .retrieval import Retrieve, opened, without_identical
from .rows import baselines, pipelines, rows
from .runs import Candidates, Found
from .scoring import scored
from .specs import RetrieverSpec, retriever_spec
from .task import Task


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
        scorers: "embedded", "local:FOLDER_OR_NAME[@REVISION]", "hosted:MODEL[@URL]", "hosted:URL", or
            scorers; a mapping gives scorers labels. Kept scores of a scorer object are known by its label,
            class, name and repr, and the files of a LocalScorer's folder: one that scores otherwise needs
            another label. Those of a hub model are known by its name and revision, those of a server by its
            address and the model's name. A pair's score must not depend on the other passages.
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
    retrievers = [retrievers] if isinstance(retrievers, str) else retrievers
    if top_k < 1 or resamples < 1:
        raise ValueError(f"top_k and resamples must be 1 or more, not {top_k} and {resamples}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    for way in fuse:
        as_fusion(way)
    _refuse_twice("fusion", list(fuse))
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
        named = named_scorers(scorers, device=device, max_length=max_length)
        for one in named:
            stack.callback(_close, one)
        tasks = _tasks(data, read)
        _refuse_shared([task.label for task in tasks])
        _refuse_shared(pipelines(retrievers, [one.label for one in named], fuse))
        kept = None if out is None else _folder(out)
        work = kept or Path(stack.enter_context(TemporaryDirectory()))
        for task in tasks if strict else ():
            _refuse_absent(task)
        remarks = {task.label: Counter(task.remarks) for task in tasks}
        find = partial(
            opened,
            tasks=tasks,
            top_k=top_k + ignore_identical_ids,  # one is dropped
            work=work,
            device=device,
            progress=progress,
            strict=strict,
            remarks=remarks,
        )
        found = _found(retrievers, tasks, find)
        if ignore_identical_ids:
            found = _without_identical(tasks, found, top_k, remarks)
        measure = partial(measured, wanted=wanted)
        before = baselines(tasks, found, measure)
        answers = scored(tasks, found, named, kept, progress=progress)
        bounds = partial(interval, resamples=resamples, seed=seed)
        lines = rows(tasks, found, before, answers, measure=measure, bounds=bounds, kept=kept, fuse=fuse)
        report = Report(
            tuple(map(str, wanted)), set_infos(tasks, remarks), tuple(lines), top_k, resamples, seed
        )
        if kept is not None:
            (kept / "report.json").write_text(report.to_json() + "\n", encoding="utf-8")
            (kept / "report.md").write_text(report.to_markdown() + "\n", encoding="utf-8")
    return report


def _folder(out: str | Path) -> Path:
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{out} can't be the folder of results: {error.strerror}") from error
    return Path(out)


def _tasks(
    data: str | Path | Task | Iterable[str | Path | Task], read: Callable[[str | Path], list[Task]]
) -> list[Task]:
    given = [data] if isinstance(data, str | Path | Task) else list(data)
    if not given:
        raise ValueError("name at least one data set")
    groups = [[one] if isinstance(one, Task) else read(one) for one in given]
    folders = [group[0].name for one, group in zip(given, groups, strict=True) if not isinstance(one, Task)]
    tasks = [task for group in groups for task in group]
    _refuse_twice("data set", folders)
    _refuse_twice("data set", [task.label for task in tasks])
    return tasks


def _found(
    retrievers: Sequence[str], tasks: Sequence[Task], find: Callable[[RetrieverSpec], Retrieve]
) -> Candidates:
    """What each retriever finds; all are opened, and their run files read, before the first searches."""
    specs = [retriever_spec(one) for one in retrievers]
    if not specs:
        raise ValueError("name at least one retriever")
    _refuse_twice("retriever", [spec.label for spec in specs])
    searches = {spec.label: find(spec) for spec in specs}
    return {label: {task.label: search(task) for task in tasks} for label, search in searches.items()}


def _without_identical(
    tasks: Sequence[Task], found: Candidates, top_k: int, remarks: dict[str, Counter[str]]
) -> Candidates:
    """Without the queries themselves; how many there were is remarked, by the retriever that found most."""
    rest: dict[str, dict[str, Mapping[str, Found]]] = {}
    for label, runs in found.items():
        for task in tasks:
            rest.setdefault(label, {})[task.label], done = without_identical(task, runs[task.label], top_k)
            remarks[task.label] |= done
    return rest


def _refuse_absent(task: Task) -> None:
    """As reading a folder does, for a task that was made otherwise."""
    if absent := task.absent:
        raise DataError(f"{task.label}: the judged passage {absent[0][1]!r} is not in the corpus")


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


def _close(one: Named) -> None:
    """A scorer that was made here and holds connections."""
    close = getattr(one.scorer, "close", None)
    if one.ours and close is not None:
        close()
