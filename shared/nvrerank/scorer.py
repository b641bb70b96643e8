"""The one seam: a scorer gives each passage a raw relevance logit for a query."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from ._checks import as_float
from .errors import (
    BadResponseError,
    InvalidArgumentError,
    NVRerankError,
    RequestRejectedError,
    ScoringError,
)
from .images import Passage, has_image
from .texts import clean_call, clean_instruction
from .token_counter import EstimatedTokenCounter, TokenCounter

Scale = Literal["logit", "probability"]
Hook = Callable[[str, Sequence[str]], Sequence["float | Scored"]]
ManyHook = Callable[[Sequence[tuple[str, Sequence[str]]]], Sequence[Sequence["float | Scored"]]]
AsyncHook = Callable[[str, Sequence[str]], Coroutine[object, object, Sequence["float | Scored"]]]
# Each hook and the methods of which a class may write one in its place, the first before the second.
_HOOKS = (
    ("_score", "score_detailed", "score"),
    ("_ascore", "ascore_detailed", "ascore"),
    ("_score_many", "score_many"),
)


@dataclass(frozen=True, slots=True)
class ScoreSource:
    """The scorer that a score is from, where several could have given it.

    Attributes:
        name: Its name.
        scale: What its scores are.
        calibrated: Whether their sigmoids are of use as probabilities.
        threshold: Least score that stays, on its scale; None: the one that `rerank` was told.
        tier: 0; more for a passage that was cut before: it stands below all of a lower tier, and no threshold
            lets it pass.
    """

    name: str
    scale: Scale = "logit"
    calibrated: bool = True
    threshold: float | None = None
    tier: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """One passage's logit, and what of the passage it comes from.

    Attributes:
        logit: The raw relevance logit; a probability where the scorer's `scale` says so.
        truncated: Whether the passage was longer than the model reads, so that its end was not read;
            None: the scorer can't tell.
        window: Where the passage was scored in parts, the characters of the best of them, as (start, end);
            None: it was scored as a whole.
        query_truncated: Whether the query is known not to have been read to its end.
        source: Which scorer it is from; None: the one that was asked.
    """

    logit: float
    truncated: bool | None = None
    window: tuple[int, int] | None = None
    query_truncated: bool = False
    source: ScoreSource | None = None


class Scorer:
    """Anything that scores passages for a query.

    A new scorer writes `_score(query, passages)`, which returns a number a passage, in input order; larger is
    more relevant. One that waits for I/O, or that can stop half way when it is cancelled, writes `_ascore` as
    well, or `_ascore` alone. One that knows more than the number returns `Scored`. The query and the passages
    come as checked strings, at least one and none blank; what is returned is checked, and what is raised
    becomes an `NVRerankError`. Several calls may come at once, from many threads.

    The public methods are written here, for all scorers. A class may override `score` or `score_detailed`
    (`ascore`, `ascore_detailed`, `score_many`) in place of a hook; it is then taken for one too.

    `rerank` is the usual caller: it leaves out blank passages and sends each distinct one once.
    """

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        written = vars(cls)
        for hook, *methods in _HOOKS:
            override = next((written[method] for method in methods if method in written), None)
            if override is not None and hook not in written:
                setattr(cls, hook, override)

    def __new__(cls, *_arguments: object, **_options: object) -> Self:
        """Makes one of a class that has a hook.

        Raises:
            TypeError: It has none.
        """
        if cls._score is Scorer._score and cls._ascore is Scorer._ascore:
            raise TypeError(f"{cls.__name__} can't score: write _score(query, passages), or _ascore")
        return super().__new__(cls)

    @property
    def name(self) -> str:
        """What traces and events call this scorer: its model's name where it has one."""
        return type(self).__name__

    @property
    def scale(self) -> Scale:
        """What the scores are: raw "logit"s of any size, or a "probability" in 0..1.

        `rerank(..., score_mode="sigmoid")` leaves a probability as it is. A scorer made of another passes its
        own on. It is read after a call's scores came.
        """
        return "logit"

    @property
    def calibrated(self) -> bool:
        """Whether the sigmoid of a score is of use as a probability; where not, asking for it warns."""
        return True

    @property
    def listwise(self) -> bool:
        """Whether a passage's score depends on the others of its call; then it can't be kept by itself."""
        return False

    @property
    def instruction(self) -> str | None:
        """What the model is told of its task beside query and passages; None: its prompt's own words."""
        return None

    @property
    def reads_images(self) -> bool:
        """Whether passages may be a `Passage` with an image; else such a call is refused before `_score`."""
        return False

    @property
    def identity(self) -> Mapping[str, object] | None:
        """Everything beside query and passage that decides a score, as what JSON holds; None: not known.

        Whoever keeps scores (`Cached`, the evaluation) keeps them under it. What takes reading files may be a
        function of no arguments, which is called before the first score.
        """
        return None

    def with_instruction(self, instruction: str) -> Scorer:
        """This scorer with an instruction, in place of the one it has: "Find the clause that forbids it".

        What comes back shares weights, connections, caches and limits; closing one of them closes both.

        Raises:
            TypeError: It is not a string.
            ValueError: It is blank.
            InvalidArgumentError: The model's prompt or the server's protocol has no place for one. A model
                that is not loaded yet says so when it is.
        """
        return self._instructed(clean_instruction(instruction))

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """Scores passages. May be called from many threads at once.

        Args:
            query: The question; not blank.
            passages: The passages; none blank.

        Returns:
            One finite number a passage, in input order; larger is more relevant. It is a raw logit unless
            `scale` says otherwise; a sigmoid is the caller's choice (`rerank(..., score_mode="sigmoid")`).

        Raises:
            TypeError: A text is not a string.
            ValueError: The query or a passage is blank.
            NVRerankError: The scores could not be had; there are no partial results.
        """
        scored = self.score_clean(*clean_call(query, passages), self._below("_score", "score"))
        return [one.logit for one in scored]

    async def ascore(self, query: str, passages: Sequence[str]) -> list[float]:
        """As `score`, without blocking the event loop."""
        scored = await self.ascore_clean(*clean_call(query, passages), self._below("_ascore", "ascore"))
        return [one.logit for one in scored]

    def score_detailed(self, query: str, passages: Sequence[str]) -> list[Scored]:
        """As `score`, with what each logit comes from."""
        return self.score_clean(*clean_call(query, passages), self._below("_score", "score_detailed"))

    async def ascore_detailed(self, query: str, passages: Sequence[str]) -> list[Scored]:
        """As `score_detailed`, without blocking the event loop."""
        hook = self._below("_ascore", "ascore_detailed")
        return await self.ascore_clean(*clean_call(query, passages), hook)

    def score_many(self, jobs: Iterable[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Scores several queries, each with passages of its own.

        A scorer that can batch across queries does; others score them one after another.

        Args:
            jobs: (query, passages) for each query; a query may have no passages.

        Returns:
            For each job its logits, both in input order.

        Raises:
            TypeError: A text is not a string.
            ValueError: A query or a passage is blank.
            NVRerankError: The scores could not be had; there are no partial results.

        A note of the error says which job it is about, where that is known.
        """
        asked = list(jobs)
        calls = []
        for number, job in enumerate(asked):
            with naming_job(number, len(asked)):
                calls.append(clean_call(*job))
        answers = self.score_many_clean(calls, self._below("_score_many", "score_many"))
        return [[one.logit for one in answer] for answer in answers]

    def score_clean(self, query: str, texts: Sequence[str], hook: Hook | None = None) -> list[Scored]:
        """As `score_detailed`, of texts that are checked already: what `rerank` and other scorers call.

        Args:
            query: The clean query.
            texts: Clean passages.
            hook: What scores them; None: this scorer's own.
        """
        if not texts:
            return []
        if any(isinstance(text, Passage) for text in texts):
            check_sight(self, texts)
        with scoring_errors(self):
            answers = (hook or self._score)(query, texts)
        return checked_scores(answers, len(texts), self)

    async def ascore_clean(
        self, query: str, texts: Sequence[str], hook: AsyncHook | None = None
    ) -> list[Scored]:
        """As `score_clean`, without blocking the event loop."""
        if not texts:
            return []
        if any(isinstance(text, Passage) for text in texts):
            check_sight(self, texts)
        with scoring_errors(self):
            answers = await (hook or self._ascore)(query, texts)
        return checked_scores(answers, len(texts), self)

    def score_many_clean(
        self, calls: Sequence[tuple[str, Sequence[str]]], hook: ManyHook | None = None
    ) -> list[list[Scored]]:
        """As `score_clean`, for several queries."""
        if not any(texts for _, texts in calls):
            return [[] for _ in calls]
        for number, (_, texts) in enumerate(calls):
            if any(isinstance(text, Passage) for text in texts):
                with naming_job(number, len(calls)):
                    check_sight(self, texts)
        with scoring_errors(self):
            answers = (hook or self._score_many)(calls)
        if len(answers) != len(calls):
            raise BadResponseError(f"{self.name} answered {len(answers)} of {len(calls)} queries: report it")
        return [
            checked_scores(answer, len(texts), self)
            for answer, (_, texts) in zip(answers, calls, strict=True)
        ]

    def close(self) -> None:
        """Frees what the scorer holds open; this one holds nothing. A with statement calls it, too."""

    async def aclose(self) -> None:
        """As `close`, from a coroutine."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def token_counter(self, query: str) -> TokenCounter:
        """What counts passages in tokens beside this query, for whoever cuts long ones.

        This one estimates, and does not know how many tokens the model reads.
        """
        return EstimatedTokenCounter(query=query)

    def _score(self, query: str, passages: Sequence[str]) -> Sequence[float | Scored]:
        """The hook: scores clean texts, at least one. This one runs the asynchronous one."""
        return _run(self._ascore(query, passages))

    async def _ascore(self, query: str, passages: Sequence[str]) -> Sequence[float | Scored]:
        """As `_score`, without blocking the event loop. This one runs that in a thread."""
        return await asyncio.to_thread(scoring_errors(self)(self._score), query, passages)

    def _score_many(self, calls: Sequence[tuple[str, Sequence[str]]]) -> Sequence[Sequence[float | Scored]]:
        """The hook of `score_many`: clean texts, which may be none; for each call what `_score` returns."""
        answers = []
        for number, call in enumerate(calls):
            with naming_job(number, len(calls)):
                answers.append(self.score_clean(*call))
        return answers

    def _instructed(self, instruction: str) -> Scorer:  # noqa: ARG002
        """The hook of `with_instruction`, whose text is checked. This one refuses."""
        raise no_place(self.name)

    def _below(self, hook: str, method: str) -> Any:
        """The hook that a public method calls: below its override, which may be what is calling it."""
        overrides = [one for one in type(self).__mro__ if method in vars(one)]  # the last is this class
        return getattr(self if len(overrides) == 1 else super(overrides[-2], self), hook)


def no_place(name: str) -> InvalidArgumentError:
    """The error of a scorer that can't be told an instruction."""
    return InvalidArgumentError(
        f"{name} has no place for an instruction: leave it out, or ask a model whose prompt has one, such as "
        "Qwen3-Reranker"
    )


def check_sight(scorer: Scorer, passages: Sequence[str]) -> None:
    """Raises `RequestRejectedError` if a passage has an image and the scorer reads none."""
    index = next((place for place, one in enumerate(passages) if has_image(one)), None)
    if index is not None and not scorer.reads_images:
        raise RequestRejectedError(
            f"it has an image, and {scorer.name} reads texts alone: give it a text in place of the image, or "
            "ask a reranker that sees, such as NVIDIA's VL models through HostedScorer",
            index=index,
        )


def checked_scores(answers: Sequence[float | Scored], count: int, scorer: Scorer) -> list[Scored]:
    """What a scorer returned, as exactly `count` records with finite logits.

    Args:
        answers: Anything that holds numbers or records: a list, an array of one dimension.
        count: How many passages were scored.
        scorer: Whose they are.

    Raises:
        BadResponseError: The count differs, or a score is not a finite number.
    """
    if len(answers) != count:
        raise BadResponseError(
            f"{scorer.name} returned {len(answers)} scores for {count} passages: report it"
        )
    checked = []
    for index, answer in enumerate(answers):
        score = answer.logit if isinstance(answer, Scored) else answer
        number = score if type(score) is float else as_float(score)
        if number is None or not math.isfinite(number):
            raise BadResponseError(
                f"{scorer.name} returned {score!r:.50} for passage {index}, not a finite number: report it"
            )
        if not isinstance(answer, Scored):
            checked.append(Scored(number))
        else:
            checked.append(answer if number is score else replace(answer, logit=number))
    return checked


def settled_identity(identity: Mapping[str, object]) -> dict[str, object]:
    """A scorer's `identity` with what its functions return; may read files."""
    settled: dict[str, object] = {}
    for name, value in identity.items():
        known = value() if callable(value) else value
        settled[name] = settled_identity(known) if isinstance(known, Mapping) else known
    return settled


def scores_together(scorer: Scorer) -> bool:
    """Whether a scorer gains by several queries in one `score_many`."""
    return type(scorer)._score_many is not Scorer._score_many  # noqa: SLF001


@contextmanager
def scoring_errors(scorer: Scorer) -> Iterator[None]:
    """Within it whatever is raised becomes an `NVRerankError`, unless the call was cancelled.

    A warning that the caller has made an error stays what it is. Work for another thread is wrapped there: a
    future can't carry a StopIteration, and whoever awaits it would wait for ever.

    Args:
        scorer: Whose name is in the message.
    """
    try:
        yield
    except (NVRerankError, CancelledError, Warning):
        raise
    except Exception as error:
        raise ScoringError(f"{scorer.name} failed while scoring: {type(error).__name__}: {error}") from error


@contextmanager
def naming_job(number: int, count: int) -> Iterator[None]:
    """Within it an error of a call with several jobs notes which one it is about."""
    try:
        yield
    except Exception as error:
        if count > 1:
            error.add_note(f"this is about job {number} of {count}")
        raise


def _run(coroutine: Coroutine[object, object, Sequence[float | Scored]]) -> Sequence[float | Scored]:
    """Runs it to its end, also where this thread's event loop is running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1, thread_name_prefix="nvrerank") as thread:
        return thread.submit(copy_context().run, asyncio.run, coroutine).result()
