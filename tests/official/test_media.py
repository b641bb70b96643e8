"""Images are not sent yet: nobody loses one without a word."""

import asyncio
import warnings

import pytest
from llama_index.core.schema import ImageDocument, ImageNode, MediaResource, Node, NodeWithScore, TextNode

from nvrerank import PassthroughWarning, RequestRejectedError, Scorer

PNG = "aW1hZ2U="
URLS = [f"data:image/png;base64,{PNG}", "https://shop.example/cover.png"]
OTHERS = ["cover.png", "/scans/1.png", PNG, "", None, 7, b"png", ["a.png"], "http:///a", {"url": URLS[1]}]


class ByLength(Scorer):
    def score(self, query, passages):
        return [float(len(passage)) for passage in passages]


def with_image(framework, text, image=URLS[0]):
    if framework.name == "langchain":
        return framework.wrap(text).model_copy(update={"metadata": {"image": image}})
    return NodeWithScore(node=ImageNode(text=text, image=PNG))


def ranked(framework, reranker, candidates, call):
    return [framework.unwrap(one) for one in call(reranker, candidates)]


@pytest.fixture(params=["sync", "async"])
def call(request, framework):
    """Calls an adapter: call(reranker, candidates)."""
    if request.param == "sync":
        return lambda reranker, candidates: framework.call(reranker, candidates, "q")
    return lambda reranker, candidates: asyncio.run(framework.acall(reranker, candidates, "q"))


def test_one_warning_a_call_says_that_only_the_text_is_read(framework, make, call):
    candidates = [with_image(framework, "a"), framework.wrap("ccc"), with_image(framework, "bb")]
    for _ in range(2):
        with pytest.warns(UserWarning, match="2 of 3 passages have an image, which is not read yet") as told:
            found = ranked(framework, make(scorer=ByLength()), candidates, call)
        assert len(told) == 1
        assert found == [("ccc", 3.0), ("bb", 2.0), ("a", 1.0)]


@pytest.mark.parametrize("others", [[], ["text"]])
def test_an_image_without_a_text_is_refused_by_its_index(framework, make, call, others):
    candidates = [*map(framework.wrap, others), with_image(framework, " ")]
    with pytest.raises(RequestRejectedError, match="image and no text") as caught:
        call(make(scorer=ByLength()), candidates)
    assert caught.value.index == len(others)


def test_or_passed_through_in_retrieval_order(framework, make, call):
    reranker = make(scorer=ByLength(), on_error="passthrough", top_n=2)
    candidates = [framework.wrap("a"), with_image(framework, ""), framework.wrap("ccc")]
    with pytest.warns(PassthroughWarning, match="image and no text"):
        assert ranked(framework, reranker, candidates, call) == [("a", None), ("", None)]


@pytest.mark.parametrize("framework", ["langchain"], indirect=True)
def test_the_warning_names_the_callers_line(framework, make):
    with pytest.warns(UserWarning, match="1 of 1 passages") as told:
        make(scorer=ByLength()).compress_documents([with_image(framework, "a")], "q")
    assert told[0].filename == __file__


@pytest.mark.parametrize("framework", ["langchain"], indirect=True)
@pytest.mark.parametrize("image", OTHERS)
def test_what_is_no_image_url_is_metadata_like_any_other(framework, make, call, image):
    candidates = [with_image(framework, "a", image)]
    assert ranked(framework, make(scorer=ByLength()), candidates, call) == [("a", 1.0)]


@pytest.mark.parametrize("framework", ["langchain"], indirect=True)
@pytest.mark.parametrize("image", URLS)
def test_an_image_is_what_the_official_class_sends(framework, make, call, image):
    with pytest.warns(UserWarning, match="1 of 1 passages"):
        call(make(scorer=ByLength()), [with_image(framework, "a", image)])


@pytest.mark.parametrize("framework", ["llamaindex"], indirect=True)
@pytest.mark.parametrize(
    ("node", "warned"),
    [
        (ImageNode(text="a", image_url=URLS[1]), True),
        (ImageNode(text="a", image_path="cover.png"), True),
        (ImageDocument(text="a", image=PNG), True),
        (
            Node(
                text_resource=MediaResource(text="a"), audio_resource=MediaResource(url="https://a.example/b")
            ),
            True,
        ),
        (ImageNode(text="a"), False),
        (Node(text_resource=MediaResource(text="a"), image_resource=MediaResource()), False),
        (TextNode(text="a"), False),
    ],
)
def test_any_node_that_holds_media_is_warned_of(framework, make, call, node, warned):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert ranked(framework, make(scorer=ByLength()), [NodeWithScore(node=node)], call) == [("a", 1.0)]
    assert [one.category for one in told] == [UserWarning] * warned
