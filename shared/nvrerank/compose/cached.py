"""Cached: a pair that was scored before is not scored again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path

from nvrerank._checks import checked_integer
from nvrerank.images import Passage
from nvrerank.per_process import PerProcess
from nvrerank.scorer import Scale, Scored, Scorer, ScoreSource, scoring_errors, settled_identity
from nvrerank.tracing import current
from nvrerank.truncation import warn_caller

from .composed import Around, reindexing
from .score_store import ScoreStore

_HINT = (
    "{name} can't be cached: {why}. Put Cached around the scorers within, name the model of a server, or, if "
    "it is a scorer of your own, let its `identity` return what decides its scores beside query and passage, "
    "such as {{'model': ..., 'version': 1}}"
)

_FORMAT = b"nvrerank 1"  # of what is kept: another one for another shape of `Scored`


class CacheWarning(UserWarning):
    """A cache can't be used; everything is scored."""


class Cached(Around):
    """Keeps scores by query and passage, in a file or in memory, and asks the scorer for the others alone.

    A score is kept under a digest of the scorer's `identity` (the model's files or address, precision,
    lengths, prompts), the query and the passage: another model's score is never taken. All that a record says
    is kept. The scores of a call that are not there are asked for in one call. A file may be shared by
    threads and processes on one machine (not over a network file system); a forked process goes on with it.

    A file that can't be used (damaged, another program's, read-only, on a full disk) makes misses and one
    `CacheWarning`, no errors; another program's is left as it is. A process that is killed loses what it was
    writing and nothing else.

    Args:
        scorer: What scores; its scores must not depend on the other passages.
        path: An SQLite file, which is made at need; None: in memory, for each process by itself.
        max_entries: Scores kept at most, the oldest go first; one takes about 200 bytes of the file.

    Raises:
        TypeError: The scorer's scores can't be kept, or an argument is of the wrong type.
        ValueError: `max_entries` is less than 1.
    """

    def __init__(
        self, scorer: Scorer, path: str | os.PathLike[str] | None = None, *, max_entries: int = 1_000_000
    ) -> None:
        super().__init__(scorer)
        if scorer.listwise:
            raise TypeError(_HINT.format(name=scorer.name, why="a score of it depends on the other passages"))
        if scorer.identity is None:
            raise TypeError(_HINT.format(name=scorer.name, why="it does not say what decides its scores"))
        if path is not None and not isinstance(path, str | os.PathLike):
            raise TypeError(f"path must name a file, not {type(path).__name__}")
        self.path = None if path is None else Path(path).expanduser()
        self._most = checked_integer("max_entries", max_entries, least=1)
        self._notice = _Notice(self.path)
        where = None if self.path is None else str(self.path)
        self._store = PerProcess(partial(ScoreStore, where, self._most, self._notice.take))

    def _score(self, query: str, passages: Sequence[str]) -> list[Scored]:
        lookup = self._lookup([(query, passages)])
        answers: list[list[Scored]] = [[]]
        if lookup.texts[0]:
            with reindexing(lookup.places):
                answers = [self.scorer.score_clean(query, lookup.texts[0])]
        return self._told(self._kept(lookup, answers))[0]

    async def _ascore(self, query: str, passages: Sequence[str]) -> list[Scored]:
        """As `_score`; the file is read and written in a thread."""
        lookup = await asyncio.to_thread(scoring_errors(self)(self._lookup), [(query, passages)])
        if not lookup.texts[0]:
            return self._told(self._kept(lookup, [[]]))[0]
        with reindexing(lookup.places):
            answers = [await self.scorer.ascore_clean(query, lookup.texts[0])]
        return self._told(await asyncio.to_thread(scoring_errors(self)(self._kept), lookup, answers))[0]

    def _score_many(self, calls: Sequence[tuple[str, Sequence[str]]]) -> list[list[Scored]]:
        """What is not known of all queries, in one call."""
        lookup = self._lookup(calls)
        answers: list[list[Scored]] = [[] for _ in calls]
        if any(lookup.texts):
            asked = [(query, texts) for (query, _), texts in zip(calls, lookup.texts, strict=True)]
            with reindexing(lookup.places):
                answers = self.scorer.score_many_clean(asked)
        return self._told(self._kept(lookup, answers))

    def close(self) -> None:
        """Closes the file and the scorer within."""
        super().close()
        self._close_store()

    async def aclose(self) -> None:
        """As `close`, from a coroutine."""
        await super().aclose()
        self._close_store()

    def __repr__(self) -> str:
        path = None if self.path is None else str(self.path)
        return f"{type(self).__name__}({self.scorer!r}, path={path!r}, max_entries={self._most})"

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_identity"}  # files may differ

    @cached_property
    def _identity(self) -> bytes:
        known, told = self.scorer.identity or {}, self.scorer.instruction
        return json.dumps(
            settled_identity(known if told is None else {**known, "instruction": told}), sort_keys=True
        ).encode()

    def _lookup(self, calls: Sequence[tuple[str, Sequence[str]]]) -> _Lookup:
        keys = [[_key(self._identity, query, text) for text in texts] for query, texts in calls]
        wanted = {key for of_call in keys for key in of_call}
        kept = self._store.get().get(list(wanted))
        span = current.get()
        if span is not None:
            span.count("nvrerank.cache.hits", len(kept))
            span.count("nvrerank.cache.misses", len(wanted) - len(kept))
        return _Lookup(keys, [texts for _, texts in calls], {key: _read(kept[key]) for key in kept})

    def _kept(self, lookup: _Lookup, answers: Sequence[Sequence[Scored]]) -> list[list[Scored]]:
        """All records, the new ones once they are kept."""
        scorer, known = self.scorer, lookup.known
        new = lookup.new(answers)
        if new:
            scale = scorer.scale
            self._store.get().put({key: _written(scale, one) for key, one in new.items()})
        own = ScoreSource(scorer.name, scorer.scale, scorer.calibrated)
        if own.scale == "probability" and any(scale == "logit" for scale, _ in known.values()):
            own = replace(own, scale="logit")  # learnt by another process, or before this one's begin
            known = {
                key: (scale, replace(one, source=one.source or own)) for key, (scale, one) in known.items()
            }
            new = {key: replace(one, source=one.source or own) for key, one in new.items()}
        records = {key: one for key, (_, one) in known.items()} | new
        return [[records[key] for key in of_call] for of_call in lookup.keys]

    def _told(self, records: list[list[Scored]]) -> list[list[Scored]]:
        """The records; warns of what went wrong, in the caller's thread so that a line of theirs is named."""
        self._notice.tell()
        return records

    def _close_store(self) -> None:
        if store := self._store.peek():
            store.close()


class _Lookup:
    """Which scores are known, which are not, and where each belongs.

    Args:
        keys: For each query those of its passages.
        passages: For each query its passages.
        known: Scale and record by key.

    Attributes:
        keys: As given.
        known: As given.
        texts: For each query its passages without a score, each once.
        places: Where each of them is among the query's passages.
    """

    def __init__(
        self,
        keys: list[list[bytes]],
        passages: Sequence[Sequence[str]],
        known: dict[bytes, tuple[Scale, Scored]],
    ) -> None:
        self.keys = keys
        self.known = known
        self.places: list[list[int]] = []
        for of_call in keys:
            first: dict[bytes, int] = {}
            for place, key in enumerate(of_call):
                first.setdefault(key, place)
            self.places.append([place for key, place in first.items() if key not in known])
        self.texts = [
            [texts[at] for at in places] for texts, places in zip(passages, self.places, strict=True)
        ]

    def new(self, answers: Sequence[Sequence[Scored]]) -> dict[bytes, Scored]:
        """By key, what was scored of `texts`."""
        return {
            keys[at]: one
            for keys, places, answer in zip(self.keys, self.places, answers, strict=True)
            for at, one in zip(places, answer, strict=True)
        }


class _Notice:
    """Warns once of what went wrong with a file.

    Args:
        path: The file; None: in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._where = "the cache" if path is None else str(path)
        self._problem: str | None = None
        self._is_told = False

    def take(self, problem: str) -> None:
        """Takes note of a problem, in any thread."""
        self._problem = self._problem or problem

    def tell(self) -> None:
        """Warns, in the thread of the scorer's caller."""
        if self._problem is not None and not self._is_told:
            self._is_told = True
            what = "what is not in it is scored. Name another file, or delete it if it is only a cache"
            warn_caller(f"{self._where} {self._problem}; {what}", CacheWarning)


def _key(identity: bytes, query: str, text: str) -> bytes:
    digest = hashlib.blake2b(digest_size=32, person=_FORMAT)
    image = [text.image] if isinstance(text, Passage) and text.image else []
    for part in (identity, query.encode(), text.encode(), *image):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _written(scale: Scale, one: Scored) -> bytes:
    return json.dumps([scale, asdict(one)]).encode()


def _read(value: bytes) -> tuple[Scale, Scored]:
    scale, fields = json.loads(value)
    window, source = fields.pop("window"), fields.pop("source")
    return scale, Scored(**fields, window=window and tuple(window), source=source and ScoreSource(**source))
