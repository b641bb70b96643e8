"""Both event systems: always in pairs; and that the async path is one of its own."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import Field

from llamaindex_nvrerank import NVIDIARerank
from nvrerank import Scorer, ServiceUnavailableError

Postprocess = Callable[..., list[NodeWithScore]]

NODES = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in ("a", "bb")]


class ByLength(Scorer):
    name = "by-length-1b"

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        return [float(len(passage)) for passage in passages]


class Down(Scorer):
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        raise ServiceUnavailableError("down for a while")


class Together(Scorer):
    """Answers when two callers wait on one loop at once; its sync method must stay unused."""

    def __init__(self) -> None:
        self.meeting = asyncio.Barrier(2)
        self.asked = asyncio.Event()
        self.cancelled = 0

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        raise NotImplementedError

    async def ascore(self, query: str, passages: Sequence[str]) -> list[float]:
        self.asked.set()
        try:
            await self.meeting.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [float(len(passage)) for passage in passages]


class Recorder(BaseEventHandler):
    """The rerank events that the dispatcher sent."""

    events: list[Any] = Field(default_factory=list)

    def handle(self, event: BaseEvent, **_: Any) -> None:
        if isinstance(event, ReRankStartEvent | ReRankEndEvent):
            self.events.append(event)


@pytest.fixture
def dispatched() -> Iterator[list[Any]]:
    dispatcher, recorder = get_dispatcher(), Recorder()
    dispatcher.add_event_handler(recorder)
    yield recorder.events
    dispatcher.event_handlers.remove(recorder)


@pytest.fixture
def called_back() -> LlamaDebugHandler:
    return LlamaDebugHandler(print_trace_on_end=False)


def reranker(scorer: Scorer, handler: LlamaDebugHandler, **options: Any) -> NVIDIARerank:
    return NVIDIARerank(scorer=scorer, callback_manager=CallbackManager([handler]), **options)


def kinds(events: Sequence[Any]) -> list[type]:
    return [type(event) for event in events]


def test_the_dispatcher_sends_what_goes_in_and_what_comes_out(
    postprocess: Postprocess, dispatched: list[Any]
) -> None:
    found = postprocess(NVIDIARerank(scorer=ByLength(), top_n=1), NODES, query_str="q")
    start, end = dispatched
    assert (start.query.query_str, start.top_n, start.model_name) == ("q", 1, "by-length-1b")
    assert start.nodes == NODES
    assert end.nodes == found


def test_without_top_n_the_start_event_says_how_many_nodes_there_are(
    postprocess: Postprocess, dispatched: list[Any]
) -> None:
    postprocess(NVIDIARerank(scorer=ByLength(), top_n=None), NODES, query_str="q")
    assert dispatched[0].top_n == 2


def test_the_callback_manager_is_told_the_same(
    postprocess: Postprocess, called_back: LlamaDebugHandler
) -> None:
    found = postprocess(reranker(ByLength(), called_back, top_n=1), NODES, query_str="q")
    ((start, end),) = called_back.get_event_pairs(CBEventType.RERANKING)
    assert start.payload == {
        EventPayload.NODES: NODES,
        EventPayload.MODEL_NAME: "by-length-1b",
        EventPayload.QUERY_STR: "q",
        EventPayload.TOP_K: 1,
    }
    assert end.payload == {EventPayload.NODES: found}


def test_an_error_closes_both_pairs(
    postprocess: Postprocess, dispatched: list[Any], called_back: LlamaDebugHandler
) -> None:
    with pytest.raises(ServiceUnavailableError) as raised:
        postprocess(reranker(Down(), called_back), NODES, query_str="q")
    assert kinds(dispatched) == [ReRankStartEvent, ReRankEndEvent]
    assert dispatched[1].nodes == []
    ((_, end),) = called_back.get_event_pairs(CBEventType.RERANKING)
    assert end.payload == {EventPayload.EXCEPTION: raised.value}


def test_no_nodes_still_make_both_pairs(
    postprocess: Postprocess, dispatched: list[Any], called_back: LlamaDebugHandler
) -> None:
    postprocess(reranker(ByLength(), called_back), [], query_str="q")
    assert kinds(dispatched) == [ReRankStartEvent, ReRankEndEvent]
    assert len(called_back.get_event_pairs(CBEventType.RERANKING)[0]) == 2


def test_a_blank_query_makes_both_pairs(
    postprocess: Postprocess, dispatched: list[Any], called_back: LlamaDebugHandler
) -> None:
    with pytest.raises(ValueError, match="blank"):
        postprocess(reranker(ByLength(), called_back), NODES, query_str=" ")
    assert kinds(dispatched) == [ReRankStartEvent, ReRankEndEvent]
    assert len(called_back.get_event_pairs(CBEventType.RERANKING)[0]) == 2


def test_an_assigned_callback_manager_is_the_one_told(
    postprocess: Postprocess, called_back: LlamaDebugHandler
) -> None:
    late = NVIDIARerank(scorer=ByLength())
    late.callback_manager = CallbackManager([called_back])
    postprocess(late, NODES, query_str="q")
    assert len(called_back.get_event_pairs(CBEventType.RERANKING)) == 1


def test_each_way_is_a_span_of_its_own(postprocess: Postprocess) -> None:
    dispatcher, spans = get_dispatcher(), SimpleSpanHandler()
    dispatcher.add_span_handler(spans)
    try:
        postprocess(NVIDIARerank(scorer=ByLength()), NODES, query_str="q")
    finally:
        dispatcher.span_handlers.remove(spans)
    (span,) = spans.completed_spans
    assert span.id_.startswith(("NVIDIARerank._postprocess_nodes", "NVIDIARerank._apostprocess_nodes"))


async def test_two_async_calls_wait_side_by_side_on_one_loop(dispatched: list[Any]) -> None:
    together = NVIDIARerank(scorer=Together())
    both = await asyncio.gather(*(together.apostprocess_nodes(NODES, query_str="q") for _ in range(2)))
    assert [found[0].score for found in both] == [2.0, 2.0]
    assert kinds(dispatched) == [ReRankStartEvent] * 2 + [ReRankEndEvent] * 2


async def test_a_cancelled_call_stops_the_scorer_and_closes_both_pairs(
    dispatched: list[Any], called_back: LlamaDebugHandler
) -> None:
    scorer = Together()
    call = asyncio.create_task(reranker(scorer, called_back).apostprocess_nodes(NODES, query_str="q"))
    await scorer.asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert scorer.cancelled == 1
    assert kinds(dispatched) == [ReRankStartEvent, ReRankEndEvent]
    assert len(called_back.get_event_pairs(CBEventType.RERANKING)[0]) == 2
