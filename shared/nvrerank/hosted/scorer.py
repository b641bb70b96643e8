"""HostedScorer: a ranking API over HTTP, behind the one seam."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import EllipsisType
from typing import Any, Self

from nvrerank.batches import put_back
from nvrerank.errors import MissingKeyError, RequestRejectedError, ScorerClosedError
from nvrerank.per_process import PerProcess
from nvrerank.scorer import Scale, Scored, Scorer, scoring_errors
from nvrerank.texts import clean_query
from nvrerank.token_counter import TokenCounter
from nvrerank.tracing import current
from nvrerank.truncation import Notices, warn_caller
from nvrerank.windows import Cutting, LongPassages, Truncate, WindowPlan

from .client import Client
from .concurrency import in_tasks, in_threads
from .credentials import ExtraHeaders, Key
from .deadline import Deadline
from .discovery import Discovery, is_ready
from .error_mapping import refuses
from .protocols import Scores, Usage, plan_requests, total_usage
from .retry import ApiRequest
from .settings import checked_settings, instructed
from .token_counter import find_token_counter

_CALLS_REMEMBERED = 100


@dataclass
class _State:
    """What a scorer learns, and whether it is closed; shared with what `with_instruction` makes of it.

    Attributes:
        scale: What its scores are; None: no reply has told yet.
        optional: Members of a body that the server has not refused.
        closed: Whether it is closed.
    """

    scale: Scale | None
    optional: frozenset[str]
    closed: bool = False


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
        protocol: "nim", "cohere" (vLLM, Jina, infinity) or "tei". None: "cohere" for a URL that ends in
            /rerank, else "nim".
        timeout: Seconds a call may take, all in all: queueing, tries, pauses, polling.
        max_retries: Tries after the first.
        max_concurrency: Requests under way at once, over all calls.
        max_batch_size: Passages a request. None: 512; 32 for "tei"; no bound for a listwise model, whose
            list goes in one request or, beyond a bound that is given, in none.
        long_passages: What becomes of a passage that is too long. "truncate" lets the server cut its end off,
            "windows" scores it in parts as `nvrerank.Windowed` does (a model of `nvrerank.MODELS` only),
            "error" lets the server refuse it. None: as `truncate` says; if that says nothing, "truncate".
        truncate: The same in the server's words: "END" cuts, "NONE" refuses; None says nothing and leaves it
            to the server. Left out: as `long_passages` says. With "cohere", "END" asks vLLM to cut, other
            servers cut or refuse as they always do, and "NONE" can't be had.
        scale: What the server's scores are, and which are asked for: "logit" for raw ones, "probability" for
            those in 0..1, which `score_mode="sigmoid"` leaves as they are. None: "logit" for "nim" and "tei".
            With "cohere" raw ones are asked for in every way that its servers know, and the replies tell what
            came: the first call decides, and a number outside 0..1 at any time proves logits from then on. A
            server whose first logits are all within 0..1 is mistaken until then: say what you know.
        reads_images: Whether passages may be `nvrerank.Passage`s with images: a NIM gets them beside texts,
            vLLM in a list of contents. None: what `nvrerank.MODELS` knows of the model; of one that it does
            not know a NIM is asked, and refuses for itself.
        extra_body: More members of every request's body; they win over those that ask for raw scores or for
            truncation. No place for secrets: they are part of the repr.
        instruction: What the model is told of its task, sent as "instruction" (vLLM and others) and
            "instruct" (SGLang). Cohere's protocol alone has a place for it; a server that ignores members
            it does not know ignores it. See `with_instruction`.
        verify: True: SSL_CERT_FILE, SSL_CERT_DIR or certifi; a file or folder of certificates; an
            SSLContext; False trusts anybody.
        headers: More headers for every request.
        transport: An httpx transport of your own in place of the network.
        send_key_over_http: Whether a key that was passed may go to another machine in clear.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is malformed, out of range or at odds with another.
        InvalidArgumentError: The protocol has no place for an instruction.
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
        long_passages: LongPassages | None = None,
        truncate: Truncate | EllipsisType | None = ...,
        scale: Scale | None = None,
        reads_images: bool | None = None,
        extra_body: Mapping[str, object] | None = None,
        instruction: str | None = None,
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
            "long_passages": long_passages,
            "truncate": truncate,
            "scale": scale,
            "reads_images": reads_images,
            "extra_body": extra_body,
            "instruction": instruction,
            "verify": verify,
            "transport": transport,
            "send_key_over_http": send_key_over_http,
        }
        self._settings = settings = checked_settings(self._arguments, key, extra)
        self._arguments["extra_body"] = settings.extra_body
        self._state = _State(settings.scale, settings.endpoint.protocol.optional)
        self._discovery = Discovery(settings)
        self._usage: deque[Usage] = deque(maxlen=_CALLS_REMEMBERED)
        self._notices = Notices()
        self._clients = PerProcess(partial(Client, settings))
        weakref.finalize(self, _close, self._clients)

    @property
    def name(self) -> str:
        """The model's name; "HostedScorer" until a server has been asked for its model."""
        return self._discovery.model or type(self).__name__

    @property
    def scale(self) -> Scale:
        """As told by `scale=`, or learnt from the replies; until the first one "probability"."""
        return self._state.scale or "probability"

    @property
    def instruction(self) -> str | None:
        """What was given, here or to `with_instruction`."""
        return self._settings.instruction

    @property
    def listwise(self) -> bool:
        """Whether the model is known, by its name, to score a passage by the others of its call."""
        return self._discovery.listwise

    @property
    def reads_images(self) -> bool:
        """As told by `reads_images=`, or known of protocol and model."""
        return self._settings.reads_images

    @property
    def identity(self) -> Mapping[str, object] | None:
        """Address, protocol and model, and how it is asked; None: the server chooses the model."""
        if self._settings.model is None:
            return None
        return {"class": f"{type(self).__module__}.{type(self).__qualname__}", "made": repr(self)}

    @property
    def usage(self) -> tuple[Usage, ...]:
        """What the last calls cost, at most 100, the latest last."""
        return tuple(self._usage)

    def token_counter(self, query: str) -> TokenCounter:
        """What counts passages beside this query, exactly if the model's tokenizer is on this machine."""
        return find_token_counter(self._discovery.model, clean_query(query))

    def models(self) -> list[str]:
        """Ids of the models served, base models before LoRA adapters; of NVIDIA's host those we know."""
        client, asked = self._client, self._discovery
        return asked.hosted() or client.ask(asked.request, Deadline(self._settings.timeout))

    async def amodels(self) -> list[str]:
        """As `models`, without blocking the event loop."""
        client, asked = self._client, self._discovery
        return asked.hosted() or await client.aask(asked.request, Deadline(self._settings.timeout))

    def ready(self) -> bool:
        """Whether a server of your own says that it is ready; asked once, without trying again.

        Raises:
            ValueError: It is NVIDIA's host, which does not tell.
            ServiceUnavailableError: Its certificate is not trusted.
        """
        client, health = self._client, self._discovery.health()
        return is_ready(client, client.send(health, Deadline(self._settings.timeout)))

    async def aready(self) -> bool:
        """As `ready`, without blocking the event loop."""
        client, health = self._client, self._discovery.health()
        return is_ready(client, await client.asend(health, Deadline(self._settings.timeout)))

    def with_key(self, api_key: object) -> Self:
        """A scorer with the same settings and this key, a str or a SecretStr."""
        key = Key(api_key, explicit=True)
        del api_key
        headers = self._settings.credentials.headers.values
        return type(self)(**self._arguments, api_key=key, headers=headers)

    def close(self) -> None:
        """Closes all connections; the scorer can't be used any more."""
        self._state.closed = True
        _close(self._clients)

    async def aclose(self) -> None:
        """As `close`, from a coroutine: waits until this event loop's connections are closed."""
        self._state.closed = True
        client = self._clients.peek()
        if client:
            await client.aclose()

    def _instructed(self, instruction: str) -> Self:
        """A copy with the same connections and state; it keeps alive what closes them."""
        twin = object.__new__(type(self))
        twin.__dict__ = {**vars(self), "_connected": self}
        twin._settings = instructed(self._settings, instruction)
        twin._arguments = {**self._arguments, "instruction": instruction}
        return twin

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[..., HostedScorer], tuple[object, ...]]:
        held = self._settings.credentials
        headers = held.headers.without_secrets()
        passed = held.key.lost or held.key.explicit or len(headers) < len(held.headers.values)
        key_from = "argument" if passed else "environment" if held.keyed else "nowhere"
        return _restored, (type(self), self._arguments, headers, key_from)

    def __repr__(self) -> str:
        if not hasattr(self, "_discovery"):
            return f"{type(self).__name__}(?)"  # in a traceback of the constructor
        settings, endpoint = self._settings, self._settings.endpoint
        where = f"{self._discovery.model!r}, url={endpoint.url!r}, protocol={endpoint.protocol.name!r}"
        long = f"long_passages={settings.long_passages!r}, truncate={settings.truncate!r}"
        told = {
            name: self._arguments[name]
            for name in ("scale", "extra_body", "instruction")
            if self._arguments[name]
        }
        more = "".join(f", {name}={value!r}" for name, value in told.items())
        return f"{type(self).__name__}({where}, {long}{more})"

    @property
    def _client(self) -> Client:
        """This process's connections; a forked child never touches its parent's."""
        if self._state.closed:
            raise ScorerClosedError(f"this {type(self).__name__} is closed: make a new one")
        if self._settings.credentials.key.lost:
            raise MissingKeyError(
                f"this {type(self).__name__} was unpickled, and a pickle holds no key and no secret header: "
                "use with_key(...), or make a new one"
            )
        return self._clients.get()

    def _score(self, query: str, passages: Sequence[str]) -> list[Scored]:
        deadline = Deadline(self._settings.timeout)
        if self._settings.long_passages != "windows":
            return self._answered(query, passages, deadline)
        windows = self._windows(query, passages)
        with windows.naming_passages():
            scored = self._answered(windows.query or query, windows.texts, deadline)
        return self._pooled(windows, scored)

    async def _ascore(self, query: str, passages: Sequence[str]) -> list[Scored]:
        """As `_score`, in tasks, whose slots a cancelled call frees; windows are planned in a thread."""
        deadline = Deadline(self._settings.timeout)
        if self._settings.long_passages != "windows":
            return await self._aanswered(query, passages, deadline)
        windows = await asyncio.to_thread(scoring_errors(self)(self._windows), query, passages)
        with windows.naming_passages():
            scored = await self._aanswered(windows.query or query, windows.texts, deadline)
        return self._pooled(windows, scored)

    def _answered(self, query: str, texts: Sequence[str], deadline: Deadline) -> list[Scored]:
        """Texts that need not be cut, scored."""
        client, settings = self._client, self._settings
        strict, more = settings.endpoint.nvidia, settings.extra_bytes
        if self._discovery.needed:
            self._discovery.find(client, deadline)
        whole = self._discovery.listwise
        plan = plan_requests(query, texts, settings.batch, strict=strict, more=more, whole=whole)
        ask = partial(self._ask, client, deadline, query, texts)
        return self._finish(plan, in_threads(ask, plan, settings.max_concurrency, deadline))

    async def _aanswered(self, query: str, texts: Sequence[str], deadline: Deadline) -> list[Scored]:
        """As `_answered`, in tasks."""
        client, settings = self._client, self._settings
        strict, more = settings.endpoint.nvidia, settings.extra_bytes
        if self._discovery.needed:
            await self._discovery.afind(client, deadline)
        whole = self._discovery.listwise
        plan = plan_requests(query, texts, settings.batch, strict=strict, more=more, whole=whole)
        ask = partial(self._aask, client, deadline, query, texts)
        return self._finish(plan, await in_tasks(ask, plan, settings.max_concurrency))

    def _ask(
        self, client: Client, deadline: Deadline, query: str, texts: Sequence[str], positions: list[int]
    ) -> Scores:
        """A batch's scores; a server that refuses what is optional is asked without it, from then on."""
        passages, optional = [texts[position] for position in positions], self._state.optional
        try:
            return client.ask(self._request(query, passages, positions, optional), deadline)
        except RequestRejectedError as error:
            if not refuses(error, optional):
                raise
            self._state.optional = frozenset()
        return client.ask(self._request(query, passages, positions, self._state.optional), deadline)

    async def _aask(
        self, client: Client, deadline: Deadline, query: str, texts: Sequence[str], positions: list[int]
    ) -> Scores:
        """As `_ask`, in a task."""
        passages, optional = [texts[position] for position in positions], self._state.optional
        try:
            return await client.aask(self._request(query, passages, positions, optional), deadline)
        except RequestRejectedError as error:
            if not refuses(error, optional):
                raise
            self._state.optional = frozenset()
        return await client.aask(self._request(query, passages, positions, self._state.optional), deadline)

    def _request(
        self, query: str, passages: list[str], positions: list[int], optional: frozenset[str]
    ) -> ApiRequest[Scores]:
        settings, protocol, model = self._settings, self._settings.endpoint.protocol, self._discovery.model
        body: dict[str, Any] = {"model": model} if protocol.needs_model else {}
        body |= protocol.body(query, passages, settings.truncate, settings.raw)
        if settings.instruction is not None:
            body |= dict.fromkeys(protocol.instruction, settings.instruction)
        refused = protocol.optional - optional
        body = {name: value for name, value in body.items() if name not in refused} | settings.extra_body
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        read = partial(protocol.read, len(passages))
        return ApiRequest(settings.endpoint.url, read, text.encode(), model, (query, *passages), positions)

    def _windows(self, query: str, texts: Sequence[str]) -> WindowPlan:
        return Cutting().plan(self.token_counter(query), texts)

    def _pooled(self, windows: WindowPlan, scored: Sequence[Scored]) -> list[Scored]:
        if windows.query is not None:
            self._notices.query()
        return windows.pooled(scored)

    def _finish(self, plan: list[list[int]], answers: Sequence[Scores]) -> list[Scored]:
        """The scores in input order; notes what they cost and what scale they are of."""
        logits = put_back(plan, [one.logits for one in answers], sum(map(len, plan)))
        cost = total_usage([one.usage for one in answers])
        self._usage.append(cost)  # no lock: a fork might find it taken
        span, tokens = current.get(), cost.prompt_tokens or cost.total_tokens
        if span is not None and tokens:
            span.count("gen_ai.usage.input_tokens", tokens)
        if self._settings.scale is None:
            self._learn_scale(logits)
        truncated = False if self._settings.truncate == "NONE" else None
        return [Scored(logit, truncated) for logit in logits]

    def _learn_scale(self, scores: Sequence[float]) -> None:
        """A number outside 0..1 is proof, the first call's lying within it a hint."""
        state = self._state
        if all(0 <= score <= 1 for score in scores):
            state.scale = state.scale or "probability"
            return
        mistaken, state.scale = state.scale == "probability", "logit"
        if mistaken:
            warn_caller(
                f"{self.name} gives logits, but its scores before were all within 0..1 and were taken for "
                "probabilities: say scale='logit'",
                UserWarning,
            )


def _restored(
    kind: type[HostedScorer], arguments: dict[str, Any], headers: dict[str, str], key_from: str
) -> HostedScorer:
    """An unpickled scorer: without a key where it was passed, with the environment's where it was that."""
    key = Key.held(None)
    if key_from == "argument" or (key_from == "environment" and not key):
        key = Key(None, explicit=False, lost=True)
    return kind(**arguments, headers=headers, api_key=key)


def _close(clients: PerProcess[Client]) -> None:
    client = clients.peek()
    if client:
        client.close()
