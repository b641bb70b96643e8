"""Images go to scorers that read them; nobody else loses one without a word."""

import asyncio
import warnings

import pytest
import requests
from llama_index.core.schema import ImageDocument, ImageNode, MediaResource, Node, NodeWithScore, TextNode
from support.images import data_url, jpeg, png

from nvrerank import PassthroughWarning, RequestRejectedError, Scorer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what their packages say at import is theirs
    from langchain_nvidia_ai_endpoints import NVIDIARerank as Theirs

VL = "nvidia/llama-nemotron-rerank-vl-1b-v2"
URL = data_url(png())
BASE64 = URL.partition(",")[2]
WEB = "https://shop.example/cover.png"
OTHERS = ["cover.png", "/scans/1.png", BASE64, "", None, 7, b"png", ["a.png"], "http:///a", {"url": WEB}]


class ByLength(Scorer):
    def score(self, query, passages):
        return [float(len(passage)) for passage in passages]


class Seeing(Scorer):
    reads_images = True

    def __init__(self):
        self.asked = []

    def _score(self, query, passages):
        self.asked.append([(str(one), getattr(one, "image", None)) for one in passages])
        return [float(len(passage)) for passage in passages]


def with_image(framework, text, image=URL):
    if framework.name == "langchain":
        return framework.wrap(text).model_copy(update={"metadata": {"image": image}})
    if image.startswith("https:"):
        return NodeWithScore(node=ImageNode(text=text, image_url=image))
    return NodeWithScore(node=ImageNode(text=text, image=image.partition(",")[2]))


def ranked(framework, reranker, candidates, call):
    return [framework.unwrap(one) for one in call(reranker, candidates)]


@pytest.fixture(params=["sync", "async"])
def call(request, framework):
    """Calls an adapter: call(reranker, candidates)."""
    if request.param == "sync":
        return lambda reranker, candidates: framework.call(reranker, candidates, "q")
    return lambda reranker, candidates: asyncio.run(framework.acall(reranker, candidates, "q"))


def test_a_scorer_that_reads_images_gets_them_beside_the_text_or_alone(framework, make, call):
    scorer = Seeing()
    candidates = [with_image(framework, "bb"), framework.wrap("ccc"), with_image(framework, "")]
    assert ranked(framework, make(scorer=scorer), candidates, call) == [("ccc", 3.0), ("bb", 2.0), ("", 0.0)]
    assert scorer.asked == [[("bb", png()), ("ccc", None), ("", png())]]


@pytest.mark.parametrize("framework", ["langchain"], indirect=True)
def test_a_nim_gets_what_the_official_class_sends_but_no_empty_text(nim, framework, make, call, monkeypatch):
    theirs, ours = nim(), nim()
    documents = [with_image(framework, "a"), framework.wrap("b"), with_image(framework, "")]
    options = {"model": VL, "api_key": "nvapi-0123456789abcdefghij"}
    call(make(base_url=ours.url, **options), documents)
    sessions = []
    real = requests.Session

    def kept():
        sessions.append(real())
        return sessions[-1]

    monkeypatch.setattr(requests, "Session", kept)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        official = Theirs(base_url=theirs.url, **options)
        official.compress_documents(documents, "q")
    official._client.last_response = None
    for session in sessions:
        session.close()
    [mine], [other] = (server.seen for server in (ours, theirs))
    wanted = [{name: part for name, part in one.items() if part} for one in other.json["passages"]]
    assert mine.json["passages"] == wanted
    assert other.json["passages"][2] == {"text": "", "image": URL}


def test_one_warning_a_call_says_that_only_the_text_is_read(framework, make, call):
    candidates = [with_image(framework, "a"), framework.wrap("ccc"), with_image(framework, "bb")]
    for _ in range(2):
        with pytest.warns(
            UserWarning, match="2 of 3 passages have an image, and ByLength reads none"
        ) as told:
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


def test_an_image_that_can_not_be_sent_is_refused_by_its_index(framework, make, call):
    gif = data_url(b"GIF89a" + bytes(9), "image/gif")
    scorer = Seeing()
    with pytest.raises(RequestRejectedError, match=r"passages\[1\]: the image is neither PNG nor JPEG"):
        call(make(scorer=scorer), [framework.wrap("a"), with_image(framework, "b", gif)])
    assert scorer.asked == []


def test_a_url_is_not_fetched_unless_that_is_asked_for(framework, make, call):
    scorer = Seeing()
    with pytest.warns(UserWarning, match="1 of 1 passages have an image, and a URL is fetched only with"):
        call(make(scorer=scorer), [with_image(framework, "a", WEB)])
    assert scorer.asked == [[("a", None)]]
    with pytest.raises(
        RequestRejectedError, match="no text, and a URL is fetched only with fetch_images=True"
    ):
        call(make(scorer=scorer), [with_image(framework, "", WEB)])


def test_a_url_is_fetched_for_whoever_asks(framework, make, call, monkeypatch):
    asked = []
    monkeypatch.setattr("nvrerank.image_fetching.fetch_image", lambda url, most: asked.append(url) or jpeg())
    scorer = Seeing()
    call(make(scorer=scorer, fetch_images=True), [with_image(framework, "a", WEB)])
    assert (asked, scorer.asked) == ([WEB], [[("a", jpeg())]])


@pytest.mark.parametrize("framework", ["langchain"], indirect=True)
def test_the_warning_names_the_callers_line(framework, make):
    with pytest.warns(UserWarning, match="1 of 1 passages") as told:
        make(scorer=ByLength()).compress_documents([with_image(framework, "a")], "q")
    assert told[0].filename == __file__


@pytest.mark.parametrize("framework", ["langchain"], indirect=True)
@pytest.mark.parametrize("scorer", [ByLength, Seeing])
@pytest.mark.parametrize("image", OTHERS)
def test_what_is_no_image_url_is_metadata_like_any_other(framework, make, call, image, scorer):
    candidates = [with_image(framework, "a", image)]
    assert ranked(framework, make(scorer=scorer()), candidates, call) == [("a", 1.0)]


@pytest.mark.parametrize("framework", ["langchain"], indirect=True)
@pytest.mark.parametrize("image", [URL, WEB])
def test_an_image_is_what_the_official_class_takes_for_one(framework, make, call, image):
    with pytest.warns(UserWarning, match="1 of 1 passages"):
        call(make(scorer=ByLength()), [with_image(framework, "a", image)])


@pytest.mark.parametrize("framework", ["llamaindex"], indirect=True)
@pytest.mark.parametrize(
    "node",
    [
        lambda file: ImageNode(text="a", image=BASE64),
        lambda file: ImageNode(text="a", image_path=str(file)),
        lambda file: ImageNode(text="a", image=BASE64, image_path="elsewhere.png", image_url=WEB),
        lambda file: ImageDocument(text="a", image=BASE64),
        lambda file: ImageDocument(text="a", image_path=str(file)),
        lambda file: Node(text_resource=MediaResource(text="a"), image_resource=MediaResource(data=png())),
        lambda file: Node(text_resource=MediaResource(text="a"), image_resource=MediaResource(path=file)),
    ],
)
def test_every_node_with_an_image_is_sent_with_it(make, call, node, tmp_path):
    (tmp_path / "page.png").write_bytes(png())
    scorer = Seeing()
    call(make(scorer=scorer), [NodeWithScore(node=node(tmp_path / "page.png"))])
    assert scorer.asked == [[("a", png())]]


@pytest.mark.parametrize("framework", ["llamaindex"], indirect=True)
@pytest.mark.parametrize(
    ("node", "warned"),
    [
        (ImageNode(text="a", image_url=WEB), True),
        (ImageNode(text="a", image_path="cover.png"), True),
        (ImageDocument(text="a", image=BASE64), True),
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
