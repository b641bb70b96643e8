"""What both adapters say of long passages, and whom they fuse with: settings, marks, quotes."""

from __future__ import annotations

import json
import pickle

import pytest
from fake_nim import truth
from huggingface_hub import constants
from langchain_core.documents import Document
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode
from support.token_counters import ByWords

from llamaindex_nvrerank import NVIDIARerank, RerankedNode
from nvrerank import ReciprocalRankFusion, Scored, Windowed, ZScoreFusion
from nvrerank.fusion import as_fusion

MISTRAL = "nvidia/nv-rerankqa-mistral-4b-v3"  # reads 512 tokens
QUERY = "who found gold"
SHORT = "short words"
LONG = "Nobody knows it yet. The sea is wide and deep. Rust never sleeps at all. He found gold."


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


MARKS = (
    "retrieval_score",
    "relevance_window",
    "relevance_truncated",
    "relevance_query_truncated",
    "fused_score",
)


def marks(one: Document | RerankedNode) -> dict[str, object]:
    """What the adapters tell beside the score: in the metadata of a document, beside a node."""
    where = one.metadata if isinstance(one, Document) else one.model_dump(include=set(MARKS))
    return {name: where[name] for name in MARKS if where.get(name) is not None and where[name] is not False}


def text(one: Document | NodeWithScore) -> str:
    return one.page_content if isinstance(one, Document) else one.node.get_content()


def rerank(framework, reranker, candidates):
    return framework.call(reranker, candidates, QUERY)


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"long_passages": "truncate"}, "END"),
        ({"long_passages": "windows"}, "END"),
        ({"long_passages": "error"}, "NONE"),
        ({"long_passages": "error", "truncate": "NONE"}, "NONE"),
        ({"long_passages": "windows", "truncate": "END"}, "END"),
    ],
)
def test_long_passages_reaches_the_server(nim, make, rank, options, sent):
    server = nim()
    passage = "The sea belongs to the shore. " * 60
    found = rank(make(model=MISTRAL, base_url=server.url, **options), QUERY, [passage])
    assert [seen.json["truncate"] for seen in server.seen] == [sent]
    asked = server.seen[0].pair[1]
    assert (len(asked) > 1) == (options["long_passages"] == "windows")
    assert found == [(passage, max(truth(QUERY, one) for one in asked))]


@pytest.mark.parametrize(
    "options",
    [
        {"long_passages": "error", "truncate": "END"},
        {"long_passages": "truncate", "truncate": "NONE"},
        {"long_passages": "cut"},
        {"long_passages": "windows", "model": "my/model"},
    ],
)
def test_what_contradicts_itself_or_can_not_be_had_is_refused_at_construction(make, options):
    with pytest.raises(ValueError, match="long_passages"):
        make(**{"model": MISTRAL, "base_url": "http://127.0.0.1:1/v1", **options})


def test_a_scorer_has_its_own_long_passages(make):
    with pytest.raises(ValueError, match="leave long_passages out"):
        make(scorer=ByWords(8), long_passages="windows")


def test_a_copy_can_have_it_and_a_pickle_keeps_it(nim, make):
    reranker = make(model=MISTRAL, base_url=nim().url).model_copy(update={"long_passages": "windows"})
    with pickle.loads(pickle.dumps(reranker)) as twin:
        assert (twin.long_passages, twin.scorer._settings.long_passages) == ("windows", "windows")


def test_the_best_window_is_told_so_that_it_can_be_quoted(framework, make):
    best, other = rerank(
        framework, make(scorer=Windowed(ByWords(8))), [framework.wrap(SHORT), framework.wrap(LONG)]
    )
    start, end = marks(best)["relevance_window"]
    assert text(best)[start:end].endswith("He found gold.")
    assert start > 0
    assert "relevance_window" not in marks(other)
    assert json.loads(json.dumps(marks(best))) == marks(best)


def test_a_window_is_quoted_from_the_text_as_the_document_has_it(framework, make):
    halves = "\ud83d\ude00 " * 5  # joined before they are scored
    [found] = rerank(framework, make(scorer=Windowed(ByWords(8))), [framework.wrap(halves + LONG)])
    start, end = marks(found)["relevance_window"]
    assert text(found)[start:end].endswith("He found gold.")


def test_a_document_whose_end_was_not_read_is_marked(framework, make):
    reranker = make(scorer=Windowed(ByWords(8), pool="first"))
    found = {
        text(one): marks(one) for one in rerank(framework, reranker, list(map(framework.wrap, [SHORT, LONG])))
    }
    assert found[LONG]["relevance_truncated"] is True
    assert "relevance_truncated" not in found[SHORT]


def test_a_query_whose_end_was_not_read_is_told_with_each_until_the_next_reranking(framework, make):
    class CutsQuery(ByWords):
        def score_detailed(self, query, passages):
            return [Scored(one, query_truncated=True) for one in self.score(query, passages)]

    once = rerank(framework, make(scorer=CutsQuery(8)), list(map(framework.wrap, [SHORT, LONG])))
    assert [marks(one).get("relevance_query_truncated") for one in once] == [True, True]
    twice = rerank(framework, make(scorer=ByWords(8)), once)
    assert not any("relevance_query_truncated" in marks(one) for one in twice)


def test_a_second_reranking_takes_the_marks_of_the_first_away(framework, make):
    first = make(scorer=Windowed(ByWords(8), pool="first"), fuse="rrf")
    once = rerank(framework, first, list(map(framework.wrap, [SHORT, LONG])))
    assert {"relevance_window", "relevance_truncated", "fused_score"} <= set(marks(once[0])) | set(
        marks(once[1])
    )
    twice = rerank(framework, make(scorer=ByWords(1000)), once)
    assert not {"relevance_window", "relevance_truncated", "fused_score"} & (
        set(marks(twice[0])) | set(marks(twice[1]))
    )
    assert any("relevance_window" in marks(one) for one in once)  # the input stays as it was


@pytest.mark.parametrize("mode", MetadataMode)
def test_no_prompt_or_embedding_of_a_node_sees_the_marks_and_it_stays_the_same_node(mode):
    node = TextNode(text=LONG, metadata={"title": "t"})
    reranker = NVIDIARerank(scorer=Windowed(ByWords(8), pool="first"), fuse="rrf")
    [found] = reranker.postprocess_nodes([NodeWithScore(node=node, score=0.5)], query_str=QUERY)
    assert {"relevance_window", "relevance_truncated", "fused_score"} <= set(marks(found))
    assert found.node.get_content(metadata_mode=mode) == node.get_content(metadata_mode=mode)
    assert (found.node.hash, found.node.metadata) == (node.hash, {"title": "t"})


@pytest.mark.parametrize("own", [LONG, f"  \n{LONG} \n "])
@pytest.mark.parametrize("meta", [{}, {"title": "Of the sea", "page": 3}])
def test_a_nodes_window_is_told_in_its_own_text_whatever_its_marks(own, meta):
    reranker = NVIDIARerank(scorer=Windowed(ByWords(8)))
    [found] = reranker.postprocess_nodes(
        [NodeWithScore(node=TextNode(text=own, metadata=meta))], query_str=QUERY
    )
    start, end = found.relevance_window
    assert own[start:end].endswith("He found gold.")
    assert own[start:end].count(".") < LONG.count(".")


@pytest.mark.parametrize("template", ["{content}\n--\n{metadata_str}", "text: {content} {metadata_str}"])
def test_a_nodes_window_is_told_in_its_own_text_though_its_metadata_quotes_that(template):
    node = TextNode(text=LONG, metadata={"quoted": LONG}, text_template=template)
    [found] = NVIDIARerank(scorer=Windowed(ByWords(8))).postprocess_nodes(
        [NodeWithScore(node=node)], query_str=QUERY
    )
    start, end = found.relevance_window
    assert LONG[start:end].endswith("He found gold.")


@pytest.mark.parametrize(
    "node",
    [
        TextNode(text=LONG, metadata={"about": "gold and who found it and where and when and why and how"}),
        TextNode(
            text=LONG, metadata={"a": "b"}, text_template="{metadata_str} gold and not the text at all " * 3
        ),
    ],
)
def test_a_window_that_is_not_of_a_nodes_own_text_is_not_told(node):
    scorer = Windowed(ByWords(8), size=5, overlap=0, pool="max")
    query = "gold and who found where when why how"
    [found] = NVIDIARerank(scorer=scorer).postprocess_nodes([NodeWithScore(node=node)], query_str=query)
    assert found.score >= 1
    assert found.relevance_window is None


def scored(framework, one: str, score: float | None):
    if framework.name == "langchain":
        return Document(one, metadata={} if score is None else {"score": score})
    return NodeWithScore(node=TextNode(text=one), score=score)


TEXTS = ["gold", "who found gold", "found gold"]


@pytest.mark.parametrize(
    ("fuse", "order"),
    [
        (None, [1, 2, 0]),
        ("rrf", [1, 0, 2]),
        (ReciprocalRankFusion(k=0, retrieval_weight=9), [0, 1, 2]),
        ("zscore", [2, 1, 0]),
        (ZScoreFusion(0), [1, 2, 0]),
    ],
)
def test_fuse_orders_with_what_retrieval_knew_and_keeps_the_rerankers_score(framework, make, fuse, order):
    candidates = [scored(framework, one, score) for one, score in zip(TEXTS, [0.2, 0.1, 0.9], strict=True)]
    found = rerank(framework, make(scorer=ByWords(8), fuse=fuse), candidates)
    assert [text(one) for one in found] == [TEXTS[index] for index in order]
    assert [framework.unwrap(one)[1] for one in found] == [[1.0, 3.0, 2.0][index] for index in order]
    assert [isinstance(marks(one).get("fused_score"), float) for one in found] == [fuse is not None] * 3


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_zscore_without_a_retrieval_score_is_a_clear_error(framework, make, missing):
    candidates = [scored(framework, "gold", 0.5), scored(framework, "found", missing)]
    with pytest.raises(ValueError, match=r"passages\[1\] has none: .* use fuse='rrf'"):
        rerank(framework, make(scorer=ByWords(8), fuse="zscore"), candidates)


def test_what_an_earlier_reranking_kept_counts_as_the_retrieval_score(framework, make):
    candidates = [scored(framework, one, score) for one, score in zip(TEXTS, [0.2, 0.1, 0.9], strict=True)]
    if framework.name == "langchain":
        for one in candidates:
            one.metadata["relevance_score"] = one.metadata.pop("score")
    reranker = make(scorer=ByWords(8), fuse="zscore")
    once = rerank(framework, reranker, candidates)
    twice = rerank(framework, reranker, once)
    assert [text(one) for one in twice] == [text(one) for one in once]
    assert [marks(one)["fused_score"] for one in twice] == pytest.approx(
        [marks(one)["fused_score"] for one in once]
    )


@pytest.mark.parametrize("kept", [None, "0.9", float("nan")])
def test_a_retrieval_score_in_the_metadata_that_is_no_number_does_not_hide_the_score(framework, make, kept):
    candidates = [scored(framework, one, score) for one, score in zip(TEXTS, [0.2, 0.1, 0.9], strict=True)]
    for one in candidates:
        one.metadata["retrieval_score"] = kept
    found = rerank(framework, make(scorer=ByWords(8), fuse="zscore"), candidates)
    assert [text(one) for one in found] == [TEXTS[index] for index in (2, 1, 0)]


@pytest.mark.parametrize("fuse", [None, "rrf", "zscore", ReciprocalRankFusion(10), ZScoreFusion(0.2)])
def test_fuse_is_dumped_as_json_and_read_again(framework, make, fuse):
    dumped = make(scorer=ByWords(8), fuse=fuse).model_dump()["fuse"]
    again = make(scorer=ByWords(8), fuse=json.loads(json.dumps(dumped)))
    assert again.fuse == as_fusion(fuse)
    again.fuse = "rrf"
    assert again.fuse == ReciprocalRankFusion()


@pytest.mark.parametrize("fuse", ["RRF", 1, {"method": "rrf", "k": -1}, {"method": "rrf", "q": 1}])
def test_another_fuse_is_refused_at_construction_and_at_assignment(make, fuse):
    with pytest.raises(ValueError, match="fuse"):
        make(scorer=ByWords(8), fuse=fuse)
    reranker = make(scorer=ByWords(8))
    with pytest.raises(ValueError, match="fuse"):
        reranker.fuse = fuse
    assert reranker.fuse is None
