"""What comes back from `postprocess_nodes` and `apostprocess_nodes`."""

import copy
import json
import sys
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import pytest
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent
from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.schema import Document as LlamaDocument
from numpy import float32

from llamaindex_nvrerank import NVIDIARerank, RerankedNode
from nvrerank import PassthroughWarning, Scorer, ServiceUnavailableError

Postprocess = Callable[..., list[NodeWithScore]]


class ByLength(Scorer):
    """The longer, the better; the logit is the number of characters less 10."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        self.seen += passages
        return [len(passage) - 10.0 for passage in passages]


class Down(Scorer):
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        raise ServiceUnavailableError("down for a while")


def nodes(*texts: str, score: float | None = None) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text, id_=f"n{i}"), score=score) for i, text in enumerate(texts)]


def texts(found: Sequence[NodeWithScore]) -> list[str]:
    return [one.get_content() for one in found]


def test_nodes_come_back_best_first_with_a_python_float(postprocess: Postprocess) -> None:
    found = postprocess(NVIDIARerank(scorer=ByLength()), nodes("a", "ccc", "bb"), query_str="q")
    assert [(one.node_id, one.score) for one in found] == [("n1", -7.0), ("n2", -8.0), ("n0", -9.0)]
    assert {type(one.score) for one in found} == {float}


@pytest.mark.parametrize(
    ("count", "top_n", "kept"),
    [(7, 7, 7), (17, 7, 7), (3, 13, 3), (1, 1, 1), (1, 10, 1), (10, 1, 1), (10, None, 10), (10, 0, 0)],
)
def test_top_n_of_the_sorted_nodes_stay(
    postprocess: Postprocess, count: int, top_n: int | None, kept: int
) -> None:
    candidates = nodes(*("x" * (1 + 7 * place % 31) for place in range(count)))
    found = postprocess(NVIDIARerank(scorer=ByLength(), top_n=top_n), candidates, query_str="q")
    assert texts(found) == sorted(texts(candidates), key=len, reverse=True)[:kept]


def test_five_stay_unless_told_otherwise(postprocess: Postprocess) -> None:
    assert len(postprocess(NVIDIARerank(scorer=ByLength()), nodes(*"abcdefgh"), query_str="q")) == 5


def test_threshold_and_mode_are_applied(postprocess: Postprocess) -> None:
    reranker = NVIDIARerank(scorer=ByLength(), score_mode="sigmoid", threshold=0.5)
    found = postprocess(reranker, nodes("x" * 9, "x" * 10, "x" * 30), query_str="q")
    assert [one.score for one in found] == [pytest.approx(1), 0.5]


def test_the_query_may_be_a_bundle_or_a_string(postprocess: Postprocess) -> None:
    reranker = NVIDIARerank(scorer=ByLength())
    by_bundle = postprocess(reranker, nodes("a", "bb"), query_bundle=QueryBundle("q"))
    assert by_bundle == postprocess(reranker, nodes("a", "bb"), query_str="q")


def test_the_scorer_reads_what_the_embedding_saw(postprocess: Postprocess) -> None:
    scorer = ByLength()
    node = TextNode(
        text="text",
        metadata={"title": "shown", "path": "hidden"},
        excluded_embed_metadata_keys=["path"],
        excluded_llm_metadata_keys=["title"],
    )
    postprocess(NVIDIARerank(scorer=scorer), [NodeWithScore(node=node)], query_str="q")
    assert scorer.seen == ["title: shown\n\ntext"]


@pytest.mark.parametrize(
    "node",
    [
        ImageNode(text="caption"),
        IndexNode(text="summary", index_id="table-1"),
        Node(text_resource=MediaResource(text="its .text raises")),
    ],
)
def test_nodes_of_other_kinds_are_kept(postprocess: Postprocess, node: BaseNode) -> None:
    (found,) = postprocess(
        NVIDIARerank(scorer=ByLength()), [NodeWithScore(node=node, score=0.5)], query_str="q"
    )
    assert type(found.node) is type(node)
    assert found.node == node


def test_the_retrieval_score_is_told_beside_the_node(postprocess: Postprocess) -> None:
    found = postprocess(NVIDIARerank(scorer=ByLength()), nodes("a", "bb", "", score=0.25), query_str="q")
    assert [one.retrieval_score for one in found if isinstance(one, RerankedNode)] == [0.25] * 3


@pytest.mark.parametrize(
    "node",
    [
        TextNode(text="text", metadata={"title": "t", "page": 3}),
        IndexNode(text="summary", index_id="table-1", obj=object()),
        Node(text_resource=MediaResource(text="text"), metadata={"title": "t"}),
        LlamaDocument(text="text", metadata={"title": "t"}),
    ],
)
def test_a_node_stays_the_same_node(postprocess: Postprocess, node: BaseNode) -> None:
    reranker = NVIDIARerank(scorer=ByLength(), fuse="rrf")
    (found,) = postprocess(reranker, [NodeWithScore(node=node, score=0.5)], query_str="q")
    assert (found.node_id, found.node.hash) == (node.node_id, node.hash)
    assert (found.node.metadata, found.node.relationships) == (node.metadata, node.relationships)


def test_on_request_the_metadata_have_the_retrieval_score_too(postprocess: Postprocess) -> None:
    reranker = NVIDIARerank(scorer=ByLength(), keep_retrieval_score=True)
    candidates = nodes("a", "bb", score=0.25)
    found = postprocess(reranker, [*candidates, *nodes("c")], query_str="q")
    assert [one.metadata for one in found] == [{"retrieval_score": 0.25}] * 2 + [{}]
    assert [one.metadata for one in candidates] == [{}, {}]
    plain = [NodeWithScore(node=one.node, score=one.score) for one in found]  # as other postprocessors do
    again = postprocess(reranker, plain[:2], query_str="q")
    assert [one.metadata for one in again] == [{"retrieval_score": 0.25}] * 2
    assert again[0].node.hash == found[0].node.hash != candidates[1].node.hash  # as the docstring says


@pytest.mark.parametrize("mode", [MetadataMode.EMBED, MetadataMode.LLM])
def test_neither_embedding_nor_prompt_sees_the_retrieval_score(
    postprocess: Postprocess, mode: MetadataMode
) -> None:
    node = TextNode(text="text", metadata={"title": "t"})
    reranker = NVIDIARerank(scorer=ByLength(), keep_retrieval_score=True)
    (found,) = postprocess(reranker, [NodeWithScore(node=node, score=0.5)], query_str="q")
    assert found.node.get_content(metadata_mode=mode) == node.get_content(metadata_mode=mode)
    assert node.excluded_llm_metadata_keys == []


def test_the_retrieval_score_survives_a_second_reranking(postprocess: Postprocess) -> None:
    reranker = NVIDIARerank(scorer=ByLength())
    once = postprocess(reranker, nodes("a", score=0.25), query_str="q")
    assert postprocess(reranker, once, query_str="q") == once


def test_without_a_retrieval_score_nothing_is_added(postprocess: Postprocess) -> None:
    (found,) = postprocess(NVIDIARerank(scorer=ByLength()), nodes("a"), query_str="q")
    assert found.metadata == {}


def test_inputs_are_never_changed_not_even_through_the_results(postprocess: Postprocess) -> None:
    node = TextNode(text="a", metadata={"source": "s"}, excluded_llm_metadata_keys=["source"])
    candidates = [NodeWithScore(node=node, score=0.5), *nodes("", score=0.4)]
    before = copy.deepcopy(candidates)
    found = postprocess(NVIDIARerank(scorer=ByLength()), candidates, query_str="q")
    for one in found:
        one.node.metadata["source"] = "another"
        one.node.excluded_llm_metadata_keys.clear()
        one.node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id="n")
        one.node.set_content("another")
        one.score = 7.0
    assert candidates == before


@pytest.mark.parametrize("handle", [Lock(), (one for one in "ab"), sys.stdout], ids=type)
@pytest.mark.parametrize("keep", [True, False])
def test_metadata_that_nobody_can_copy_come_back_as_they_are(
    postprocess: Postprocess, handle: object, keep: bool
) -> None:
    node = TextNode(text="a", metadata={"x": handle}, excluded_embed_metadata_keys=["x"])
    reranker = NVIDIARerank(scorer=ByLength(), keep_retrieval_score=keep)
    (found,) = postprocess(reranker, [NodeWithScore(node=node, score=0.5)], query_str="q")
    assert found.metadata["x"] is handle


@pytest.mark.parametrize("texts_", [("", "a", " \n"), ("", " \n")])
def test_blank_nodes_come_last_without_a_score(postprocess: Postprocess, texts_: tuple[str, ...]) -> None:
    found = postprocess(NVIDIARerank(scorer=ByLength()), nodes(*texts_, score=0.9), query_str="q")
    assert [one.score for one in found if one.get_content().strip()] == [-9.0] * ("a" in texts_)
    assert [(one.get_content(), one.score) for one in found][-2:] == [("", None), (" \n", None)]


def test_results_are_json_whatever_number_the_retriever_gave(postprocess: Postprocess) -> None:
    candidates = nodes("a", "bb", score=0.5)
    candidates[0].score = float32(0.5)  # type: ignore[assignment]  # retrievers do this
    found = postprocess(NVIDIARerank(scorer=ByLength()), candidates, query_str="q")
    for one in found:
        record = json.loads(one.to_json())
        again = RerankedNode.from_dict({**record, "node": TextNode.from_dict(record["node"])})
        assert again == one
        assert ReRankEndEvent(nodes=[one]).model_dump()["nodes"][0]["score"] == one.score


def test_no_nodes_ask_no_scorer(postprocess: Postprocess) -> None:
    scorer = ByLength()
    assert postprocess(NVIDIARerank(scorer=scorer), [], query_str="q") == []
    assert scorer.seen == []


def test_duplicates_odd_characters_and_long_texts_come_back_as_they_were(postprocess: Postprocess) -> None:
    odd = ["same", "same", "nul \0", "\ud800 half", "x" * 100_000]
    found = postprocess(NVIDIARerank(scorer=ByLength()), nodes(*odd), query_str="q")
    assert sorted(texts(found)) == sorted(odd)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "nodes must be a list of NodeWithScore, not NoneType"),
        ([TextNode(text="a")], r"nodes\[0\] must be a NodeWithScore, not TextNode"),
        ([*nodes("a"), "text"], r"nodes\[1\] must be a NodeWithScore, not str"),
    ],
)
def test_what_are_not_nodes_is_named(postprocess: Postprocess, wrong: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        postprocess(NVIDIARerank(scorer=ByLength()), wrong, query_str="q")


def test_a_missing_query_is_an_error_that_says_how_to_pass_it(postprocess: Postprocess) -> None:
    with pytest.raises(ValueError, match="pass query_str= or query_bundle="):
        postprocess(NVIDIARerank(scorer=ByLength()), nodes("a"))


def test_a_string_in_the_bundle_s_place_is_an_error_that_says_where_it_goes(postprocess: Postprocess) -> None:
    with pytest.raises(TypeError, match="not str: pass a string as query_str="):
        postprocess(NVIDIARerank(scorer=ByLength()), nodes("a"), "q")


@pytest.mark.parametrize("query", ["", " \n"])
def test_a_blank_query_is_an_error_even_without_nodes(postprocess: Postprocess, query: str) -> None:
    for candidates in ([], nodes("a")):
        with pytest.raises(ValueError, match="query is blank"):
            postprocess(NVIDIARerank(scorer=ByLength()), candidates, query_str=query)


def test_an_error_of_the_scorer_is_raised_as_it_is(postprocess: Postprocess) -> None:
    with pytest.raises(ServiceUnavailableError, match="down for a while"):
        postprocess(NVIDIARerank(scorer=Down()), nodes("a"), query_str="q")


def test_passthrough_keeps_the_retrieval_order_and_its_scores(postprocess: Postprocess) -> None:
    candidates = nodes("a", "bb", "ccc", score=0.25)
    reranker = NVIDIARerank(scorer=Down(), on_error="passthrough", top_n=2)
    with pytest.warns(PassthroughWarning, match="down for a while"):
        found = postprocess(reranker, candidates, query_str="q")
    assert [(one.node, one.score) for one in found] == [(one.node, one.score) for one in candidates[:2]]
    assert found[0] is not candidates[0]
    assert isinstance(found[0], RerankedNode)
    assert found[0].retrieval_score == 0.25


@pytest.mark.parametrize(("top_n", "count"), [(0, 0), (1, 1), (9, 3), (None, 3)])
def test_a_call_may_say_how_many(postprocess: Postprocess, top_n: int | None, count: int) -> None:
    reranker = NVIDIARerank(scorer=ByLength(), top_n=2)
    assert len(postprocess(reranker, nodes("a", "ccc", "bb"), query_str="q", top_n=top_n)) == count
    assert len(postprocess(reranker, nodes("a", "ccc", "bb"), query_str="q")) == 2
