"""HostedScorer: a ranking API over HTTP, behind the one seam."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from nvrerank import models
from nvrerank.errors import MissingKeyError, RequestRejectedError
from nvrerank.scorer import Scorer
from nvrerank.texts import clean_call

from .call import Batch, Call
from .key import ExtraHeaders, Key
from .messages import Failure, Outcome, Request, Scores, Truncate, Usage
from .plan import plan
from .sender import Question, Sender
from .settings import checked_settings

_CALLS_REMEMBERED = 100


class HostedScorer(Scorer):
    """Scores with a reranker behind an HTTP API: NVIDIA's hosted models, a NIM, vLLM, TEI.

    No connection is opened before the first use. One scorer serves any number of threads and event
    loops; what is under way at once is bounded over all of them. Close it, or use it as a context
    manager. A copy is the scorer itself; a pickle holds no key: an unpickled scorer reads
    NVIDIA_API_KEY again if that is where its key was from, else it asks for `with_key`.

    Args:
        model: The model's name. None: NVIDIA's own default, or, with a base_url, the first base model
            that the server lists.
        base_url: A server's root, its /v1, a proxy's prefix, or a full endpoint. None: NVIDIA_BASE_URL,
            else NVIDIA's hosted API.
        api_key: A str or a SecretStr. None: NVIDIA_API_KEY, which is sent to NVIDIA's own hosts only.
        protocol: "nim", "cohere" (vLLM, Jina) or "tei". None: "cohere" for a URL that ends in /rerank,
            else "nim".
        timeout: Seconds a call may take, all in all: queueing, tries, pauses, polling.
        max_retries: Tries after the first.
        max_concurrency: Requests under way at once, over all calls.
        max_batch_size: Passages a request. None: 512; 32 for "tei".
        truncate: What the server does with a pair that is too long: "END" cuts, "NONE" refuses. None:
            as it likes. Not known to "cohere".
        verify: True: SSL_CERT_FILE, SSL_CERT_DIR or certifi; a file or folder of certificates; an
            SSLContext; False trusts anybody.
        headers: More headers for every request.
        transport: An httpx transport of your own in place of the network.
        send_key_over_http: Whether a key that was passed may go to another machine in clear.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is malformed, out of range or at odds with another.
        MissingKeyError: NVIDIA's host wants a key and there is none.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: object | None = None,
        protocol: str | None = None,
        timeout: float = 60,
        max_retries: int = 3,
        max_concurrency: int = 8,
        max_batch_size: int | None = None,
        truncate: Truncate | None = "END",
        verify: bool | str | Path | ssl.SSLContext = True,
        headers: Mapping[str, str] | None = None,
        transport: object | None = None,
        send_key_over_http: bool = False,
    ) -> None:
        key, extra = Key.held(api_key), ExtraHeaders(headers)
        del api_key, headers  # a traceback shows what a frame holds
        self._arguments: dict[str, Any] = {
            "model": model,
            "base_url": base_url or os.environ.get("NVIDIA_BASE_URL") or None,
            "protocol": protocol,
            "timeout": timeout,
            "max_retries": max_retries,
            "max_concurrency": max_concurrency,
            "max_batch_size": max_batch_size,
            "truncate": truncate,
            "verify": verify,
            "transport": transport,
            "send_key_over_http": send_key_over_http,
        }
        self._settings = checked_settings(key=key, headers=extra, **self._arguments)
        self._model = self._settings.model
        self._usage: deque[Usage] = deque(maxlen=_CALLS_REMEMBERED)
        self._lock = threading.Lock()
        self._closed = False
        self._senders: dict[int, Sender] = {}
        weakref.finalize(self, _close_this_process, self._senders)

    @property
    def name(self) -> str:
        """The model's name; "HostedScorer" until a server has been asked for its model."""
        return self._model or type(self).__name__

    @property
    def usage(self) -> tuple[Usage, ...]:
        """What the last calls cost, at most 100, the latest last."""
        with self._lock:
            return tuple(self._usage)

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """Scores passages; see `Scorer.score`.

        Raises:
            TypeError: A text is not a string.
            ValueError: The query or a passage is blank.
            RequestRejectedError: The request is wrong and would be wrong again.
            ServiceUnavailableError: The service did not answer usefully before the deadline.
            BadResponseError: What came back is not one finite score for each passage.
        """
        query, texts = clean_call(query, passages)
        if not texts:
            return []
        call, width = self._open(query, texts)
        work = partial(self._work, call, self._served(call))
        if width == 1:
            work()
        else:
            _in_threads(call, work, width)
        return self._finish(call)

    async def ascore(self, query: str, passages: Sequence[str]) -> list[float]:
        """As `score`, in tasks; a call that is cancelled frees its places at once."""
        query, texts = clean_call(query, passages)
        if not texts:
            return []
        call, width = self._open(query, texts)
        work = partial(self._awork, call, await self._aserved(call))
        if width == 1:
            await work()
        else:
            await _in_tasks(work, width)
        return self._finish(call)

    def models(self) -> list[str]:
        """Ids of the models served, base models before LoRA adapters; of NVIDIA's host those we know."""
        if self._settings.address.nvidia:
            return _hosted_models()
        return self._sender.ask(Call(self._settings.timeout), self._models_question())

    async def amodels(self) -> list[str]:
        """As `models`, without blocking the event loop."""
        if self._settings.address.nvidia:
            return _hosted_models()
        return await self._sender.aask(Call(self._settings.timeout), self._models_question())

    def ready(self) -> bool:
        """Whether a server of your own says that it is ready; asked once, without trying again.

        Raises:
            ValueError: It is NVIDIA's host, which does not tell.
            ServiceUnavailableError: Its certificate is not trusted.
        """
        call, request = Call(self._settings.timeout), self._health_request()
        return self._is_ready(call, self._sender.send(call, request))

    async def aready(self) -> bool:
        """As `ready`, without blocking the event loop."""
        call, request = Call(self._settings.timeout), self._health_request()
        return self._is_ready(call, await self._sender.asend(call, request))

    def with_key(self, api_key: object) -> Self:
        """A scorer with the same settings and this key, a str or a SecretStr."""
        key = Key(api_key, explicit=True)
        del api_key
        headers = self._settings.headers.items()
        return type(self)(**self._arguments, api_key=key, headers=headers)

    def close(self) -> None:
        """Closes all connections; the scorer can't be used any more."""
        self._closed = True
        _close_this_process(self._senders)

    async def aclose(self) -> None:
        """As `close`, from a coroutine: waits until this event loop's connections are closed."""
        self._closed = True
        sender = self._senders.get(_forks)
        if sender:
            await sender.clients.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[..., HostedScorer], tuple[object, ...]]:
        settings = self._settings
        headers = settings.headers.without_secrets()
        passed = settings.key.lost or settings.key.explicit or len(headers) < len(settings.headers.items())
        key_from = "argument" if passed else "environment" if settings.keyed else "nowhere"
        return _restored, (type(self), self._arguments, headers, key_from)

    def __repr__(self) -> str:
        if not hasattr(self, "_model"):
            return f"{type(self).__name__}(?)"  # in a traceback of the constructor
        address = self._settings.address
        kind, protocol = type(self).__name__, address.protocol.name
        return f"{kind}({self._model!r}, url={address.endpoint!r}, protocol={protocol!r})"

    @property
    def _sender(self) -> Sender:
        """This process's connections; a forked child never touches its parent's."""
        if self._closed:
            raise RuntimeError(f"this {type(self).__name__} is closed: make a new one")
        if self._settings.key.lost:
            raise MissingKeyError(
                f"this {type(self).__name__} was unpickled, and a pickle holds no key and no secret header: "
                "use with_key(...), or make a new one"
            )
        return self._senders.get(_forks) or self._senders.setdefault(_forks, Sender(self._settings))

    def _open(self, query: str, texts: Sequence[str]) -> tuple[Call, int]:
        """A call, and how many of its requests may be under way at once."""
        settings = self._settings
        batches = plan(query, texts, settings.batch, strict=settings.address.nvidia)
        return Call(settings.timeout, query, texts, batches), min(len(batches), settings.max_concurrency)

    def _work(self, call: Call, model: str | None) -> None:
        sender = self._sender
        try:
            for number, batch in call.batches():
                call.answer(number, sender.ask(call, self._question(call, model, batch)))
        except Exception as error:
            call.fail(error)
            raise

    async def _awork(self, call: Call, model: str | None) -> None:
        sender = self._sender
        try:
            for number, batch in call.batches():
                call.answer(number, await sender.aask(call, self._question(call, model, batch)))
        except Exception as error:
            call.fail(error)
            raise

    def _question(self, call: Call, model: str | None, batch: Batch) -> Question[Scores]:
        settings, protocol = self._settings, self._settings.address.protocol
        body = protocol.body(model, call.query, batch.passages, settings.truncate)
        read = partial(protocol.read, len(batch.passages))
        return Question(Request(settings.address.endpoint, body), read, model, batch)

    def _finish(self, call: Call) -> list[float]:
        scores = call.scores()
        with self._lock:
            self._usage.append(call.usage())
        return scores

    def _served(self, call: Call) -> str | None:
        """The model to name, asked for once if nobody named it."""
        if self._knows_model():
            return self._model
        sender = self._sender
        if not sender.asking.take(call.remaining()):
            raise sender.error(call)
        try:
            return self._model or self._chosen(sender.ask(call, self._models_question()))
        finally:
            sender.asking.give()

    async def _aserved(self, call: Call) -> str | None:
        """As `_served`, in a task."""
        if self._knows_model():
            return self._model
        sender = self._sender
        if not await sender.asking.atake(call.remaining()):
            raise sender.error(call)
        try:
            return self._model or self._chosen(await sender.aask(call, self._models_question()))
        finally:
            sender.asking.give()

    def _knows_model(self) -> bool:
        return self._model is not None or not self._settings.address.protocol.needs_model

    def _chosen(self, served: list[str]) -> str:
        host = self._settings.address.host
        if not served:
            raise RequestRejectedError(f"{host} lists no model: name one, model=...")
        self._model = served[0]
        warnings.warn(f"no model was named: using {served[0]!r}, which {host} lists first", stacklevel=4)
        return served[0]

    def _models_question(self) -> Question[list[str]]:
        address = self._settings.address
        return Question(Request(address.models), address.protocol.read_models)

    def _health_request(self) -> Request:
        if self._settings.address.nvidia:
            raise ValueError(
                "NVIDIA's hosted API does not tell its health: ready() is for a server of your own"
            )
        return Request(self._settings.address.health)

    def _is_ready(self, call: Call, outcome: Outcome) -> bool:
        if isinstance(outcome, Failure) and outcome.kind == "tls":
            raise self._sender.error(call, outcome)
        return not isinstance(outcome, Failure) and outcome.status == HTTPStatus.OK


def _in_threads(call: Call, work: Callable[[], None], width: int) -> None:
    """Runs so many workers; their first error is the call's."""
    with ThreadPoolExecutor(width, thread_name_prefix="nvrerank") as threads:
        try:
            wait([threads.submit(work) for _ in range(width)])
        except BaseException:
            call.stop()
            raise


async def _in_tasks(work: Callable[[], Awaitable[None]], width: int) -> None:
    """Runs so many workers; their first error is the call's, and cancels the others."""

    async def worker() -> None:
        await work()

    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            for _ in range(width):
                group.create_task(worker())


def _hosted_models() -> list[str]:
    return [model.id for model in models.MODELS if model.hosted and not model.retired]


def _restored(
    kind: type[HostedScorer], arguments: dict[str, Any], headers: dict[str, str], key_from: str
) -> HostedScorer:
    """An unpickled scorer: without a key where it was passed, with the environment's where it was that."""
    key = Key.held(None)
    if key_from == "argument" or (key_from == "environment" and not key):
        key = Key(None, explicit=False, lost=True)
    return kind(**arguments, headers=headers, api_key=key)


_forks = 0  # how often this process's line was forked since the import


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 (a process has one line)
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


def _close_this_process(senders: Mapping[int, Sender]) -> None:
    sender = senders.get(_forks)
    if sender:
        sender.clients.close()
