"""Ray Data as the engine: a pool of actors, each with a scorer of its own; a block is one batch."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

from nvrerank import errors
from nvrerank._checks import checked_integer, checked_number
from nvrerank.errors import MissingExtraError, NVRerankError, ScoringError
from nvrerank.scorer import Scorer
from nvrerank.scorer_specs import ScorerSpec, scorer_of

from .plan import Shard
from .scoring import Answer, Row, RowScorer
from .sources import Batch, Columns, Source
from .tables import scored_table

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset

MakeScorer = Callable[[], Scorer]

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else it may listen beyond this machine
}


@dataclass(frozen=True, slots=True)
class RayActors:
    """How many copies of the scorer, and what each of them gets."""

    count: int = 1
    gpus: float = 0
    cpus: float = 1

    @classmethod
    def checked(cls, count: object, gpus: object, cpus: object) -> Self:
        """Refuses what is no number of them."""
        return cls(
            checked_integer("actors", count, least=1),
            checked_number("gpus_per_actor", gpus, least=0),
            checked_number("cpus_per_actor", cpus, least=0),
        )


def scored_on_ray(
    source: Source, shards: Sequence[Shard], size: int, make: MakeScorer, actors: RayActors
) -> Generator[tuple[Batch, Answer]]:
    """The shards' batches with their answers, in order; rows are read here too, only texts travel.

    Raises:
        NVRerankError: No row can be scored.
    """
    if not shards:
        return
    data = _ray().data
    reads = [list(own) for _, own in groupby(shards, lambda shard: (shard.file, shard.at))]
    places = data.from_items([{"read": place} for place in range(len(reads))], override_num_blocks=len(reads))
    places.context.target_max_block_size = 1  # a packet is a block by itself: an actor that dies costs one
    packets = places.map_batches(
        partial(_packets, source=source, reads=reads, size=size),
        batch_size=1,
        num_cpus=0,  # else actors that take all processors would wait for ever for something to score
        compute=data.TaskPoolStrategy(min(len(reads), 1 + actors.count // 4)),
    )
    answers = answers_of(packets, make, listed=source.listed, size=size, actors=actors)
    early: dict[tuple[int, int], Answer] = {}
    for shard, group in groupby(source.batches(shards, size), lambda one: one[0]):
        for number, (_, batch) in enumerate(group):
            key = (shard.number, number)
            while key not in early:
                group_number, place, answer = next(answers)
                early[group_number, place] = answer
            yield batch, early.pop(key)


def answers_of(
    packets: Dataset, make: MakeScorer, *, listed: bool, size: int, actors: RayActors
) -> Iterator[tuple[int, int, Answer]]:
    """What the actors answer to packets, as it comes: the packet's two numbers and the answer.

    Args:
        packets: Rows of "group", "number" and "rows", a batch of rows as JSON; each a block by itself.
        make: Makes the scorer, in each actor once.
        listed: Whether a row has a list of passages.
        size: Pairs in one call.
        actors: How many, and with what.

    Raises:
        NVRerankError: No row can be scored.
    """
    ray = _ray()
    answered = packets.map_batches(
        _PacketActor,
        fn_constructor_args=(make, listed, size),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors.count),
        num_cpus=actors.cpus,
        num_gpus=actors.gpus,
    )
    try:
        for row in answered.iter_rows():
            if row["stopped"]:
                raise _revived(row["stopped"])
            yield row["group"], row["number"], Answer.from_json(row["answer"])
    except ray.exceptions.RayError as error:
        raise ScoringError(f"Ray's actors can't score, see its logs: {str(error).strip()}") from error


def score_dataset(
    ds: Dataset,
    scorer: ScorerSpec,
    *,
    query_column: str = "query",
    passage_column: str = "passage",
    prefix: str = "",
    batch_size: int = 1024,
    actors: int = 1,
    gpus_per_actor: float = 0,
    cpus_per_actor: float = 1,
) -> Dataset:
    """Adds scores to a dataset of Ray Data; nothing runs before it is consumed.

    Columns are as `rerank_parquet` adds them. Like all of Ray Data it keeps the order of rows only where
    `DataContext.execution_options.preserve_order` says so: let them carry an id.

    Args:
        ds: Rows of a query and a passage, or a list of passages.
        scorer: A string or a mapping as `nvrerank.scorer_of` takes it; each actor makes its own.
        query_column: The queries' column.
        passage_column: The passages' or lists' column.
        prefix: Stands before the names of the columns that are added.
        batch_size: Rows in a block: what an actor that dies costs at most.
        actors: Copies of the scorer.
        gpus_per_actor: GPUs for each.
        cpus_per_actor: CPUs for each.

    Raises:
        TypeError: The scorer is not a string or a mapping.
        ValueError: There is no such scorer.
        MissingExtraError: Ray is not installed.
    """
    check_spec(scorer)
    scorer_of(scorer).close()  # what is wrong with it is told here
    pool = RayActors.checked(actors, gpus_per_actor, cpus_per_actor)
    return ds.repartition(target_num_rows_per_block=batch_size).map_batches(
        _TableActor,
        fn_constructor_args=(partial(scorer_of, scorer), query_column, passage_column, prefix, batch_size),
        batch_size=None,
        batch_format="pyarrow",
        compute=_ray().data.ActorPoolStrategy(size=pool.count),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
    )


def check_spec(scorer: object) -> None:
    """Refuses a scorer itself, which can't travel.

    Raises:
        TypeError: It is one.
    """
    if isinstance(scorer, Scorer):
        raise TypeError(
            "Ray's workers make the scorer themselves: give a string or a mapping, as scorer_of takes it"
        )


class _PacketActor:
    """Scores packets; an error that ends the run is an answer, too: raised, it would be Ray's."""

    def __init__(self, make: MakeScorer, listed: bool, size: int) -> None:  # noqa: FBT001 # Ray passes them
        self._make, self._listed, self._size = make, listed, size
        self._scorer: RowScorer | None = None

    def __call__(self, packets: dict[str, Any]) -> dict[str, Any]:
        answers, stops = [], []
        for text in packets["rows"]:
            answer, stopped = "", ""
            try:
                if self._scorer is None:
                    self._scorer = RowScorer(self._make(), listed=self._listed, batch_size=self._size)
                answer = self._scorer.answer(json.loads(text)).to_json()
            except (NVRerankError, ValueError) as error:
                stopped = json.dumps([type(error).__name__, str(error)])
            answers.append(answer)
            stops.append(stopped)
        return {"group": packets["group"], "number": packets["number"], "answer": answers, "stopped": stops}


class _TableActor:
    """Scores tables of a user's own dataset."""

    def __init__(self, make: MakeScorer, query: str, passage: str, prefix: str, size: int) -> None:
        self._make, self._names, self._prefix, self._size = make, (query, passage), prefix, size
        self._scorers: dict[bool, RowScorer] = {}

    def __call__(self, table: pa.Table) -> pa.Table:
        return scored_table(table, Columns(*self._names, None, self._prefix), self._answer)

    def _answer(self, rows: Sequence[Row], *, listed: bool) -> Answer:
        if listed not in self._scorers:
            self._scorers[listed] = RowScorer(self._make(), listed=listed, batch_size=self._size)
        return self._scorers[listed].answer(rows)


def packets_of(batches: Sequence[Sequence[Row]]) -> Dataset:
    """Batches that are in memory here as a dataset, numbered, a block each."""
    rows = [packet(0, number, batch) for number, batch in enumerate(batches)]
    packets: Dataset = _ray().data.from_items(rows, override_num_blocks=len(rows))
    return packets


def packet(group: int, number: int, rows: Sequence[Row]) -> dict[str, Any]:
    """One batch as a row of a dataset."""
    return {"group": group, "number": number, "rows": json.dumps(rows, default=repr)}


def _packets(
    batch: dict[str, Any], *, source: Source, reads: Sequence[Sequence[Shard]], size: int
) -> Iterator[dict[str, Any]]:
    for read in batch["read"]:
        for shard, group in groupby(source.batches(reads[read], size), lambda one: one[0]):
            for number, (_, own) in enumerate(group):
                yield {name: [value] for name, value in packet(shard.number, number, own.asked).items()}


def _revived(stopped: str) -> Exception:
    kind, message = json.loads(stopped)
    known = getattr(errors, kind, ValueError)
    error: Exception = known(message)
    return error


def _ray() -> Any:
    """Ray and its data module, connected: by `ray.init`, by RAY_ADDRESS, else on this machine alone."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("the engine 'ray' needs Ray: pip install 'nvrerank[ray]'") from error
    if not ray.is_initialized():
        alone: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        ray.init(logging_level=logging.ERROR, **({} if os.environ.get("RAY_ADDRESS") else alone))
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # says that it shows none
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray
