"""`RerankMiddleware` in agents of LangChain's `create_agent`, sync and async."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import create_retriever_tool, tool
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from support.simple_scorers import ByOverlap

from langchain_nvrerank import NVIDIARerank, RerankMiddleware
from langchain_nvrerank.middleware import pieces_of
from nvrerank import PassthroughWarning, Scorer, ServiceUnavailableError

TEXTS = ["bread is baked", "a cat sleeps", "the cat eats fish", "rain falls"]


class Down(Scorer):
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        raise ServiceUnavailableError("down for a while")


class Model(GenericFakeChatModel):
    """Says its lines, and notes the tools it was shown."""

    shown: list[Any] = []  # noqa: RUF012 (pydantic copies it)

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> "Model":
        self.shown.append([getattr(one, "name", one) for one in tools])
        return self


def model(name: str = "search", **arguments: Any) -> Model:
    call = {"name": name, "args": arguments, "id": "1"}
    return Model(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("done")]))


def reranker(**options: Any) -> NVIDIARerank:
    return NVIDIARerank(scorer=ByOverlap(), **{"top_n": 1, **options})


def found(texts: Sequence[str] = TEXTS) -> list[Document]:
    return [Document(text, metadata={"place": place}) for place, text in enumerate(texts)]


def search_tool(**options: Any) -> Any:
    retriever: Any = RunnableLambda(lambda _query: found())
    return create_retriever_tool(
        retriever, "search", "Finds.", **{"response_format": "content_and_artifact", **options}
    )


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., list[Any]]:
    """Runs an agent with one message of a person; returns the messages of the run."""

    def asked(agent: Any, text: Any = "a question", config: Any = None) -> list[Any]:
        inputs = {"messages": [("user", text)]}
        if request.param == "sync":
            state = agent.invoke(inputs, config)
        else:
            state = asyncio.run(agent.ainvoke(inputs, config))
        messages: list[Any] = state["messages"]
        return messages

    return asked


def answer(messages: Sequence[Any]) -> ToolMessage:
    (one,) = (message for message in messages if isinstance(message, ToolMessage))
    return one


def test_the_model_reads_the_documents_that_answer(ask: Callable[..., list[Any]]) -> None:
    agent = create_agent(model(query="cat fish"), [search_tool()], middleware=[RerankMiddleware(reranker())])
    message = answer(ask(agent))
    assert message.content == "the cat eats fish"
    assert [one.page_content for one in message.artifact] == ["the cat eats fish"]
    assert message.artifact[0].metadata == {"place": 2, "relevance_score": 2.0}


def test_without_it_the_model_reads_all_of_them(ask: Callable[..., list[Any]]) -> None:
    message = answer(ask(create_agent(model(query="cat fish"), [search_tool()])))
    assert message.content == "\n\n".join(TEXTS)


def test_documents_are_parted_as_the_retriever_tool_parts_them(ask: Callable[..., list[Any]]) -> None:
    middleware = RerankMiddleware(reranker(top_n=2), document_separator=" ## ")
    agent = create_agent(
        model(query="cat fish"), [search_tool(document_separator=" ## ")], middleware=[middleware]
    )
    assert answer(ask(agent)).content == "the cat eats fish ## a cat sleeps"


@tool(response_format="content_and_artifact")
def cite(query: str) -> tuple[str, list[Document]]:
    """Finds with sources, as the retrieval agent of LangChain's tutorial does."""
    documents = found(["a cat\n\nsleeps", *TEXTS])
    written = (f"Source: {one.metadata}\nContent: {one.page_content}" for one in documents)
    return "\n\n".join(written), documents


def test_what_a_tool_wrote_around_a_document_stays_with_it(ask: Callable[..., list[Any]]) -> None:
    agent = create_agent(
        model("cite", query="cat fish"), [cite], middleware=[RerankMiddleware(reranker(top_n=2))]
    )
    assert answer(ask(agent)).content == (
        "Source: {'place': 3}\nContent: the cat eats fish\n\nSource: {'place': 0}\nContent: a cat\n\nsleeps"
    )


def test_a_prompt_of_one_s_own_writes_the_documents(ask: Callable[..., list[Any]]) -> None:
    prompt = PromptTemplate.from_template("[{place}] {page_content}")
    middleware = RerankMiddleware(reranker(), document_prompt=prompt)
    agent = create_agent(model("cite", query="cat fish"), [cite], middleware=[middleware])
    assert answer(ask(agent)).content == "[3] the cat eats fish"


@pytest.mark.parametrize(
    ("content", "texts", "pieces"),
    [
        ("a\n\nb", ["a", "b"], ["a", "b"]),
        ("1: a!\n\n2: a!", ["a", "a"], ["1: a!", "2: a!"]),
        ("a\n\n\n\nb", ["a", "b"], None),  # whose is the empty line?
        ("a b", ["a", "b"], None),
        ("a\n\nc", ["a", "b"], None),
        (["a\n\nb"], ["a", "b"], None),
        ("Found a", ["a"], ["Found a"]),
    ],
)
def test_a_piece_is_a_document_s_only_where_that_is_certain(
    content: Any, texts: list[str], pieces: list[str] | None
) -> None:
    assert pieces_of(content, [Document(text) for text in texts], "\n\n") == pieces


@tool(response_format="content_and_artifact")
def count(topic: str) -> tuple[str, Any]:
    """Counts."""
    return "seven", {"topic": topic}


@tool
def plain(topic: str) -> str:
    """Says."""
    return f"a plain answer on {topic}"


@tool(response_format="content_and_artifact")
def nothing(topic: str) -> tuple[str, Any]:
    """Finds nothing."""
    return f"nothing on {topic}", []


@tool(response_format="content_and_artifact")
def mixed(topic: str) -> tuple[str, Any]:
    """Finds all sorts."""
    return "all sorts", [Document(topic), "text"]


@pytest.mark.parametrize("one", [count, plain, nothing, mixed], ids=lambda one: str(one.name))
def test_an_answer_without_documents_is_left_as_it_is(ask: Callable[..., list[Any]], one: Any) -> None:
    alone = answer(ask(create_agent(model(one.name, topic="cats"), [one])))
    agent = create_agent(model(one.name, topic="cats"), [one], middleware=[RerankMiddleware(reranker())])
    message = answer(ask(agent))
    assert (message.content, message.artifact) == (alone.content, alone.artifact)


def test_it_is_for_the_tools_it_is_told(ask: Callable[..., list[Any]]) -> None:
    middleware = RerankMiddleware(reranker(), tool_names=["cite"])
    agent = create_agent(model(query="cat fish"), [search_tool(), cite], middleware=[middleware])
    assert len(answer(ask(agent)).artifact) == len(TEXTS)


@tool(response_format="content_and_artifact")
def look_up(topic: str, limit: int = 4) -> tuple[str, list[Document]]:
    """Finds by topic."""
    return f"{limit} on {topic}", found()


@pytest.mark.parametrize(
    ("query_key", "best"), [("topic", "bread is baked"), (None, "rain falls"), ("limit", "rain falls")]
)
def test_the_query_is_the_tool_s_or_else_what_the_person_said(
    ask: Callable[..., list[Any]], query_key: str | None, best: str
) -> None:
    middleware = RerankMiddleware(reranker(), query_key=query_key)
    agent = create_agent(model("look_up", topic="bread", limit=3), [look_up], middleware=[middleware])
    assert answer(ask(agent, "will rain fall or rain")).content == best


def test_a_call_of_the_agent_may_say_how_many(ask: Callable[..., list[Any]]) -> None:
    agent = create_agent(model(query="cat fish"), [search_tool()], middleware=[RerankMiddleware(reranker())])
    assert len(answer(ask(agent, "q", {"configurable": {"top_n": 3}})).artifact) == 3


def test_a_failed_reranking_passes_the_documents_through(ask: Callable[..., list[Any]]) -> None:
    middleware = RerankMiddleware(NVIDIARerank(scorer=Down(), on_error="passthrough", top_n=2))
    agent = create_agent(model(query="cat"), [search_tool()], middleware=[middleware])
    with pytest.warns(PassthroughWarning):
        message = answer(ask(agent))
    assert message.content == "bread is baked\n\na cat sleeps"


def test_its_run_stands_in_the_agent_s_trace(ask: Callable[..., list[Any]]) -> None:
    tracer = RunCollectorCallbackHandler()
    agent = create_agent(model(query="cat fish"), [search_tool()], middleware=[RerankMiddleware(reranker())])
    ask(agent, "q", {"callbacks": [tracer]})
    (root,) = tracer.traced_runs
    runs = [root]
    for run in runs:
        runs.extend(run.child_runs)
    assert "NVIDIARerank" in [run.name for run in runs]


def tools() -> list[Any]:
    described = {
        "weather": "tells of rain and sun",
        "recipes": "finds how bread is baked",
        "cats": "knows what a cat eats",
        "maps": "shows the way",
    }

    def make(name: str, description: str) -> Any:
        return tool(name, description=description)(lambda topic: topic)

    return [make(name, description) for name, description in described.items()]


def shown(
    ask: Callable[..., list[Any]], middleware: Any, text: Any = "what the cat eats", more: Sequence[Any] = ()
) -> Any:
    one = Model(messages=iter([AIMessage("done")]), shown=[])
    ask(create_agent(one, [*more, *tools()], middleware=[middleware]), text)
    return one.shown[-1]


def test_the_model_is_shown_the_tools_that_fit_in_their_own_order(ask: Callable[..., list[Any]]) -> None:
    middleware = RerankMiddleware(reranker(top_n=9)).select_tools(2)
    assert shown(ask, middleware, "cat rain eats") == ["weather", "cats"]


def test_some_tools_and_a_provider_s_always_stay(ask: Callable[..., list[Any]]) -> None:
    middleware = RerankMiddleware(reranker()).select_tools(1, always_include=["maps"])
    provider = {"type": "web_search"}
    assert shown(ask, middleware, more=[provider]) == ["cats", "maps", provider]


def test_a_threshold_and_a_fusion_are_for_documents_alone(ask: Callable[..., list[Any]]) -> None:
    middleware = RerankMiddleware(reranker(threshold=99, fuse="zscore")).select_tools(2)
    assert len(shown(ask, middleware)) == 2


@pytest.mark.parametrize("text", ["", [{"type": "image", "base64": "aaaa", "mime_type": "image/png"}]])
def test_all_tools_stay_where_there_is_nothing_to_choose_by(ask: Callable[..., list[Any]], text: Any) -> None:
    assert len(shown(ask, RerankMiddleware(reranker()).select_tools(1), text)) == 4


def test_all_tools_stay_where_choosing_failed(ask: Callable[..., list[Any]]) -> None:
    middleware = RerankMiddleware(NVIDIARerank(scorer=Down(), on_error="passthrough")).select_tools(1)
    with pytest.warns(PassthroughWarning):
        assert len(shown(ask, middleware)) == 4


def test_few_tools_are_not_scored(ask: Callable[..., list[Any]]) -> None:
    assert len(shown(ask, RerankMiddleware(NVIDIARerank(scorer=Down())).select_tools(4))) == 4


def test_the_last_message_of_a_person_counts(ask: Callable[..., list[Any]]) -> None:
    one = Model(messages=iter([AIMessage("done")]), shown=[])
    agent = create_agent(one, tools(), middleware=[RerankMiddleware(reranker()).select_tools(1)])
    agent.invoke({"messages": [HumanMessage("a cat"), AIMessage("a cat"), HumanMessage("some rain and")]})
    assert one.shown[-1] == ["weather"]


def test_a_tool_to_include_that_there_is_none_of_is_an_error(ask: Callable[..., list[Any]]) -> None:
    middleware = RerankMiddleware(reranker()).select_tools(1, always_include=["map"])
    with pytest.raises(ValueError, match=r"always_include names \['map'\], and .* are \['cats'"):
        shown(ask, middleware)


def test_both_serve_in_one_agent(ask: Callable[..., list[Any]]) -> None:
    reranking = RerankMiddleware(reranker())
    one = model(query="cat fish")
    agent = create_agent(one, [*tools(), search_tool()], middleware=[reranking, reranking.select_tools(2)])
    assert answer(ask(agent, "search cat")).content == "the cat eats fish"
    assert one.shown[-1] == ["cats", "search"]


@pytest.mark.parametrize("k", [0, 1.5, True])
def test_how_many_tools_is_a_number_from_1_on(k: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="k must be"):
        RerankMiddleware(reranker()).select_tools(k)
