"""rerank_parquet: from files to files, shard by shard; what was done before is not done again."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from tqdm.auto import tqdm

from nvrerank._checks import checked_integer
from nvrerank.scorer import Scorer, settled_identity
from nvrerank.scorer_specs import ScorerSpec, scorer_of

from .inputs import files_of, source_of, write_pairs
from .plan import Shard, rows_in_a_shard, shards_of
from .ray_engine import RayActors, check_spec, scored_on_ray
from .report import BulkReport, FailedRow
from .scoring import Answer, RowScorer, check_lists
from .sources import Batch, Columns, Source
from .work import Work, digest

Engine = Literal["local", "ray"]
Scored = Generator[tuple[Batch, Answer]]

_FAILURES_TOLD = 10
_PAIRS = "_pairs.parquet"


def rerank_parquet(
    input: str | Path,  # noqa: A002 # what it is
    output: str | Path,
    *,
    scorer: ScorerSpec,
    query_column: str = "query",
    passage_column: str = "passage",
    id_column: str | None = None,
    run: str | Path | None = None,
    prefix: str = "",
    batch_size: int = 1024,
    shard_rows: int | None = None,
    engine: Engine = "local",
    actors: int = 1,
    gpus_per_actor: float = 0,
    cpus_per_actor: float = 1,
    resume: bool = True,
    device: str | None = None,
    max_length: int | None = None,
    instruction: str | None = None,
    progress: bool = False,
) -> BulkReport:
    """Scores pairs of query and passage: rows of files to the same rows with a score, in the same order.

    A row is a query and a passage, or a query and a list of passages; the output has `score` and `error`
    beside the row's own columns, for lists also `rank` (1 is best), with an entry a passage. A row that
    can't be scored (blank, not text, refused) has a null score, and in `error` why. Memory is bounded.

    Stop it at any time: the same call goes on where it was. Results are kept shard by shard; one that is
    there is never scored again, and one that is not whole is not there.

    Args:
        input: A Parquet, Arrow or JSON lines file (.jsonl, also gzipped), a folder of files of one kind, a
            folder that `datasets` saved, or one in BEIR's layout with `run`.
        output: A folder for the shards, or a file that ends as the input's kind. Rows of JSON lines become
            JSON lines, all others Parquet.
        scorer: As `nvrerank.scorer_of` takes it; a `Scorer` itself for the local engine alone, since workers
            make their own. A key is read from the environment variable that the specification names.
        query_column: The queries' column.
        passage_column: The passages' or lists' column.
        id_column: A column by which the report names rows; None: by number.
        run: A TREC run file: which pairs of a BEIR folder to score.
        prefix: Stands before the names of the columns that are added.
        batch_size: Pairs that are scored together.
        shard_rows: Rows in a shard; None: about 16,384 pairs.
        engine: "local", or "ray": Ray Data, on the cluster that RAY_ADDRESS or `ray.init` names, else on this
            machine. All its machines must see the input's path.
        actors: Copies of the scorer on Ray.
        gpus_per_actor: GPUs for each.
        cpus_per_actor: CPUs for each, as many as torch uses threads.
        resume: Whether to go on from what is there; else it is deleted.
        device: Of models on this machine that do not say it themselves.
        max_length: Likewise, in tokens.
        instruction: What the scorer is told of its task; None: what it says itself.
        progress: Whether a bar on stderr shows what is done and the time left.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, a column missing, or the output holds something else: another
            run's rows, say, of another scorer or another input.
        OSError: Something can't be read or written; what is done is kept.
        NVRerankError: The scorer can't score at all; what is done is kept.
    """
    started = time.monotonic()
    size = checked_integer("batch_size", batch_size, least=1)
    if shard_rows is not None:
        checked_integer("shard_rows", shard_rows, least=1)
    pool = RayActors.checked(actors, gpus_per_actor, cpus_per_actor)
    if engine not in get_args(Engine):
        raise ValueError(f"engine must be 'local' or 'ray', not {engine!r}")
    if engine == "ray":
        check_spec(scorer)
    columns = Columns(query_column, passage_column, id_column, prefix)
    files = files_of(Path(input), None if run is None else Path(run))
    source = source_of(files, columns) if run is None else None
    work = Work(Path(output), source.suffix if source else ".parquet")
    _check_apart(Path(output), Path(input) if run is None else None, files)
    make = partial(scorer_of, scorer, device=device, max_length=max_length, instruction=instruction)
    with ExitStack() as stack:
        mine = make()
        if not isinstance(scorer, Scorer):
            stack.callback(mine.close)
        check_lists(mine, listed=source is not None and source.listed)
        job = {
            "input": digest(files),
            "scorer": _identity(mine, scorer, max_length),
            "columns": [query_column, passage_column, prefix],
            "shard_rows": shard_rows,
        }
        stack.callback(work.close)
        work.begin(job, resume=resume)
        if work.finished:
            return _report(work, time.monotonic() - started)
        pairs = work.folder / _PAIRS
        if source is None:
            if not pairs.exists():
                write_pairs(files, pairs)
            source = source_of([pairs], columns)
        layout = source.layout()
        shards = shards_of(layout, shard_rows or rows_in_a_shard(source.pairs_in_a_row))
        waiting = [one for one in shards if one.number not in work.done]
        if engine == "ray":
            scored = scored_on_ray(source, waiting, size, make, pool)
        else:
            scored = _scored_here(source, waiting, RowScorer(mine, listed=source.listed, batch_size=size))
        stack.enter_context(closing(scored))
        bar = tqdm(
            total=sum(one.rows for one in shards),
            initial=sum(one["rows"] for one in work.done.values()),
            unit="row" if source.listed else "pair",
            desc="scoring",
            disable=not progress,
        )
        failures = _write(work, source, waiting, scored, stack.enter_context(bar).update)
        work.finish(len(shards), source.scored_schema)
        pairs.unlink(missing_ok=True)
        return _report(work, time.monotonic() - started, failures)


def _check_apart(output: Path, source: Path | None, files: Sequence[Path]) -> None:
    """Refuses an output that would replace the input, or that the next call would take for it.

    Raises:
        ValueError: It is such.
    """
    place = output.resolve()
    if any(one.resolve().is_relative_to(place) for one in files):
        raise ValueError(f"{output} holds the input: name another output")
    if source is not None and source.is_dir() and place.is_relative_to(source.resolve()):
        raise ValueError(f"{output} lies in the input's folder, and would be read as input: name one outside")


def _scored_here(source: Source, shards: Sequence[Shard], scorer: RowScorer) -> Scored:
    for _, batch in source.batches(shards, scorer.size):
        yield batch, scorer.answer(batch.asked)


def _write(
    work: Work, source: Source, shards: Sequence[Shard], scored: Scored, done: Callable[[int], object]
) -> tuple[FailedRow, ...]:
    """Writes shards as their answers come; the first rows without a score are returned."""
    failures: list[FailedRow] = []
    for shard in shards:
        told: dict[str, Any] = dict.fromkeys(("rows", "pairs", "errors", "requests", "tokens"), 0)
        with work.shard(shard.number, source.scored_schema, told) as write:
            while told["rows"] < shard.rows:  # and not up to the next shard: its first batch takes a while
                batch, answer = next(scored)
                write(source.with_scores(batch, answer))
                for place, error in enumerate(answer.errors):
                    if error and len(failures) < _FAILURES_TOLD:
                        known = batch.ids[place] if batch.ids else None
                        failures.append(FailedRow(shard.row + told["rows"] + place, known, error))
                told["rows"] += len(batch.asked)
                told["pairs"] += sum(map(len, answer.scores))
                lacking = zip(answer.scores, answer.errors, strict=True)
                told["errors"] += sum(one.count(None) or bool(error) for one, error in lacking)
                told["requests"] += answer.requests
                told["tokens"] += answer.tokens
                done(len(batch.asked))
        told["now"] = True
        work.done[shard.number] = told
    return tuple(failures)


def _report(work: Work, seconds: float, failures: tuple[FailedRow, ...] = ()) -> BulkReport:
    total: Counter[str] = Counter()
    now: Counter[str] = Counter()
    for one in work.done.values():
        counts = {name: value for name, value in one.items() if name != "now"}
        total.update(counts)
        now.update(counts if "now" in one else {})
    return BulkReport(
        work.output,
        total["rows"],
        total["pairs"],
        total["errors"],
        total["pairs"] - now["pairs"],
        seconds,
        now["requests"],
        now["tokens"],
        failures,
    )


def _identity(scorer: Scorer, spec: ScorerSpec, max_length: int | None) -> Mapping[str, object]:
    """What scores are known by: the scorer's own identity, else how it was asked for; and the instruction."""
    known: dict[str, object] = {"instruction": scorer.instruction}
    if scorer.identity is not None:
        return known | settled_identity(scorer.identity)
    known["max_length"] = max_length
    if not isinstance(spec, Scorer):
        return known | {"spec": spec if isinstance(spec, str) else json.loads(json.dumps(spec, default=repr))}
    kind = type(scorer)
    text = repr(scorer) if kind.__repr__ is not object.__repr__ else None
    return known | {"class": f"{kind.__module__}.{kind.__qualname__}", "name": scorer.name, "repr": text}
