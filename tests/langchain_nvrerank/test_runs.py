"""What tracers see, and that the async path is one of its own."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from langchain_nvrerank import NVIDIARerank
from nvrerank import Scorer, ServiceUnavailableError

Compress = Callable[..., list[Document]]

DOCUMENTS = [Document("a"), Document("bb")]


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


class Parents(BaseCallbackHandler):
    """Which run each run was started under."""

    def __init__(self) -> None:
        self.seen: list[UUID | None] = []

    def on_chain_start(self, *_: Any, parent_run_id: UUID | None = None, **__: Any) -> None:
        self.seen.append(parent_run_id)


@pytest.fixture
def tracer() -> RunCollectorCallbackHandler:
    return RunCollectorCallbackHandler()


def test_a_run_holds_query_documents_result_and_settings(
    compress: Compress, tracer: RunCollectorCallbackHandler
) -> None:
    found = compress(NVIDIARerank(scorer=ByLength(), top_n=1), DOCUMENTS, "q", callbacks=[tracer])
    (run,) = tracer.traced_runs
    assert (run.name, run.run_type, run.error) == ("NVIDIARerank", "chain", None)
    assert run.inputs == {"query": "q", "documents": DOCUMENTS}
    assert run.outputs == {"documents": found}
    assert run.end_time is not None
    assert run.metadata.items() >= {"scorer": "by-length-1b", "top_n": 1, "score_mode": "logit"}.items()


def test_the_run_is_a_reranker_run_on_request(
    compress: Compress, tracer: RunCollectorCallbackHandler
) -> None:
    compress(NVIDIARerank(scorer=ByLength(), run_type="reranker"), DOCUMENTS, "q", callbacks=[tracer])
    assert tracer.traced_runs[0].run_type == "reranker"


def test_an_error_closes_the_run(compress: Compress, tracer: RunCollectorCallbackHandler) -> None:
    with pytest.raises(ServiceUnavailableError):
        compress(NVIDIARerank(scorer=Down()), DOCUMENTS, "q", callbacks=[tracer])
    (run,) = tracer.traced_runs
    assert "down for a while" in str(run.error)
    assert run.end_time is not None


def test_no_documents_still_make_a_whole_run(compress: Compress, tracer: RunCollectorCallbackHandler) -> None:
    compress(NVIDIARerank(scorer=ByLength()), [], "q", callbacks=[tracer])
    assert tracer.traced_runs[0].outputs == {"documents": []}


def test_the_run_stands_under_the_caller_s(compress: Compress) -> None:
    parent, parents = uuid4(), Parents()
    manager = CallbackManager(handlers=[parents], parent_run_id=parent)
    compress(NVIDIARerank(scorer=ByLength()), DOCUMENTS, "q", callbacks=manager)
    assert parents.seen == [parent]


def test_a_call_inside_a_chain_inherits_its_callbacks(
    compress: Compress, tracer: RunCollectorCallbackHandler
) -> None:
    reranker = NVIDIARerank(scorer=ByLength())
    step: RunnableLambda[str, Any] = RunnableLambda(
        lambda query: compress(reranker, DOCUMENTS, query), name="step"
    )
    step.invoke("q", {"callbacks": [tracer]})
    (run,) = tracer.traced_runs
    assert [run.name, *(child.name for child in run.child_runs)] == ["step", "NVIDIARerank"]


async def test_two_async_calls_wait_side_by_side_on_one_loop() -> None:
    reranker = NVIDIARerank(scorer=Together())
    both = await asyncio.gather(*(reranker.acompress_documents(DOCUMENTS, "q") for _ in range(2)))
    assert [found[0].page_content for found in both] == ["bb", "bb"]


async def test_a_cancelled_call_stops_the_scorer_and_closes_its_run(
    tracer: RunCollectorCallbackHandler,
) -> None:
    scorer = Together()
    call = asyncio.create_task(NVIDIARerank(scorer=scorer).acompress_documents(DOCUMENTS, "q", [tracer]))
    await scorer.asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert scorer.cancelled == 1
    assert "CancelledError" in str(tracer.traced_runs[0].error)


async def test_the_sync_call_works_inside_a_running_loop() -> None:
    assert NVIDIARerank(scorer=ByLength()).compress_documents(DOCUMENTS, "q")[0].page_content == "bb"
