"""A passage may be an image, or have one: it is checked at once, and never lost on the way."""

from __future__ import annotations

import asyncio
import copy
import io
import pickle

import pytest
from PIL import Image
from support.images import data_url, jpeg, png
from support.simple_scorers import Length
from support.token_counters import Words

from nvrerank import (
    Cached,
    Cascade,
    Fallback,
    Limited,
    Passage,
    RequestRejectedError,
    Scored,
    Windowed,
    rerank,
)
from nvrerank import ServiceUnavailableError as Unavailable
from nvrerank.images import MOST_BYTES
from nvrerank.windows import Cutting


class Seeing(Length):
    """One that sees: an image counts by its bytes."""

    reads_images = True

    def _score(self, query, passages):
        super()._score(query, passages)
        return [len(one) + len(getattr(one, "image", None) or b"") for one in passages]


class Blind(Length):
    reads_images = False


def test_an_image_comes_as_bytes_a_path_or_a_data_url(tmp_path):
    (tmp_path / "page.png").write_bytes(png())
    ways = [png(), bytearray(png()), tmp_path / "page.png", str(tmp_path / "page.png"), data_url(png())]
    assert {Passage("a", one) for one in ways} == {Passage("a", png())}
    assert [Passage(image=one).image for one in ways] == [png()] * 5


def test_its_type_is_that_of_its_bytes_whatever_a_data_url_says():
    assert Passage(image=data_url(jpeg(), "image/png")).image_url == data_url(jpeg(), "image/jpeg")


def test_it_is_the_text_and_equals_only_what_has_the_same_image():
    both, alone = Passage("a", png()), Passage(image=png())
    assert (both.text, str(both), alone.text, str(alone)) == ("a", "a", None, "")
    assert both == Passage("a", png())
    assert all(both != other for other in ("a", Passage("a"), alone, Passage("a", png(colour=9)), 7))
    assert Passage("a") == "a"
    assert len({both, "a", Passage("a"), alone, ""}) == 4


def test_copies_and_pickles_keep_the_image():
    passage = Passage("a", png())
    for twin in (
        copy.copy(passage),
        copy.deepcopy(passage),
        pickle.loads(pickle.dumps(passage)),
        Passage(passage),
    ):
        assert (twin, twin.image) == (passage, png())


def test_a_blank_text_beside_an_image_is_none_and_half_an_emoji_is_mended():
    assert Passage(" \n", png()).text is None
    assert Passage("half \ud83d", png()).text == "half \ufffd"


def test_a_traceback_shows_no_image():
    assert repr(Passage("a", png())) == f"Passage('a', image=<image/png, {len(png())} bytes>)"


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (b"GIF89a" + bytes(20), ValueError, "neither PNG nor JPEG"),
        (data_url(b"<svg/>", "image/svg+xml"), ValueError, "neither PNG nor JPEG"),
        (b"", ValueError, "neither PNG nor JPEG"),
        (png()[:20], ValueError, "broken"),
        (jpeg()[:30], ValueError, "broken"),
        (png(0, 5), ValueError, "broken"),
        (png() + bytes(MOST_BYTES), ValueError, "larger than"),
        (data_url(png() + bytes(MOST_BYTES)), ValueError, "larger than"),
        (png(100_000, 1001), ValueError, "100000 x 1001 pixels"),
        (jpeg(60_000, 60_000), ValueError, "60000 x 60000 pixels"),
        ("data:image/png;base64,???", ValueError, "no base64"),
        ("data:image/png,abc", ValueError, "in base64"),
        ("https://example.org/a.png", ValueError, "fetch_images=True"),
        ("no such file.png", ValueError, "can't be read: No such file"),
        ("/dev/zero", ValueError, "is no file"),
        (7, TypeError, "image must be bytes"),
    ],
)
def test_what_can_not_be_sent_is_refused_at_once(image, error, words):
    with pytest.raises(error, match=words):
        Passage(image=image)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + b"\xff\xc0" * 200}])
def test_a_photographs_size_is_read_as_pillow_reads_it(options):
    for width, height in ((1, 1), (640, 3), (10_001, 10_000)):
        file = io.BytesIO()
        if width < 1000:
            Image.new("RGB", (width, height)).save(file, "JPEG", **options)
            assert Passage(image=file.getvalue()).image == file.getvalue()
        else:
            with pytest.raises(ValueError, match="10001 x 10000"):
                Passage(image=jpeg(width, height, frame=0xC2))


@pytest.fixture(params=["sync", "async"])
def score(request):
    if request.param == "sync":
        return lambda scorer, *call: scorer.score(*call)
    return lambda scorer, *call: asyncio.run(scorer.ascore(*call))


def test_a_scorer_that_reads_texts_alone_is_not_asked_and_the_passage_named(score):
    scorer = Blind()
    with pytest.raises(RequestRejectedError, match=r"passages\[1\]: it has an image, and length reads texts"):
        score(scorer, "q", ["a", Passage("b", png())])
    with pytest.raises(RequestRejectedError, match=r"passages\[0\]: "):
        scorer.score_many([("q", ["a"]), ("q", [Passage(image=png())])])
    assert scorer.asked == []
    assert score(scorer, "q", [Passage("text alone")]) == [10.0]


def test_rerank_names_the_callers_own_passage():
    with pytest.raises(RequestRejectedError, match=r"passages\[3\]: "):
        rerank(Blind(), "q", ["a", "a", " ", Passage("a", png())])


def test_blank_is_what_has_neither_and_duplicates_have_the_same_image():
    scorer = Seeing()
    twice = Passage("a", png())
    ranking = rerank(scorer, "q", [Passage(" "), Passage(image=png()), twice, "a", Passage("a", png())])
    [(_, asked)] = scorer.asked
    assert asked == [Passage(image=png()), twice, "a"]
    assert [one.image for one in asked[:2]] == [png(), png()]
    assert [one.index for one in ranking] == [2, 4, 1, 3, 0]
    assert ranking[-1].score is None
    assert ranking.passages[2].image == png()


def test_all_around_one_that_sees_see_and_hand_the_image_on(score, tmp_path):
    class Known(Seeing):
        identity = property(lambda _: {"name": "known"})

    for around in (
        lambda one: Limited(one, max_concurrency=1),
        lambda one: Cached(one, tmp_path / "scores.db"),
        lambda one: Windowed(one, size=4),
        lambda one: Cascade(one, Seeing(), keep=1),
        lambda one: Fallback(one, Blind()),
    ):
        inner = Known()
        scorer = around(inner)
        assert scorer.reads_images
        score(scorer, "q", ["a b", Passage("b " * 50, png())])
        assert [getattr(one, "image", None) for _, asked in inner.asked for one in asked] == [None, png()]


def test_a_cache_takes_one_image_for_no_other_and_none_for_no_image():
    class Known(Seeing):
        identity = property(lambda _: {"name": "known"})

    inner = Known()
    cached = Cached(inner)
    passages = ["a", Passage("a", png()), Passage("a", png(colour=9)), Passage(image=png())]
    first = cached.score("q", passages)
    assert cached.score("q", passages[::-1]) == first[::-1]
    assert [asked for _, asked in inner.asked] == [passages]
    assert cached.score("q", [Passage("a", jpeg())]) != first[:1]


def test_a_passage_with_an_image_is_not_cut_and_whether_it_fits_not_known():
    long = Passage("one two three four five six", png())
    plan = Cutting(size=3, overlap=0).plan(Words(), [long, str(long)])
    assert plan.texts[0] is long
    assert len(plan.texts) == 3
    one, other = plan.pooled([Scored(float(number)) for number in range(3)])
    assert (one.window, one.truncated) == (None, None)
    assert (other.window is not None, other.truncated) == (True, False)


def test_a_cascade_sees_only_if_both_do_and_nobody_is_asked_else():
    seeing = Seeing()
    cascade = Cascade(seeing, Blind(), keep=1)
    with pytest.raises(RequestRejectedError, match="reads texts alone"):
        cascade.score("q", [Passage(image=png())])
    assert seeing.asked == []


def test_a_fallback_asks_those_that_see_and_says_who_was_passed_over(score):
    blind, seeing = Blind("blind"), Seeing("seeing")
    scorer = Fallback(blind, seeing)
    assert score(scorer, "q", [Passage(image=png())]) == [float(len(png()))]
    assert score(scorer, "q", ["text"]) == [4.0]
    assert (len(blind.asked), scorer.answers) == (1, {"blind": 1, "seeing": 1})
    seeing.fails = Unavailable("it is down")
    with pytest.raises(Unavailable) as caught:
        score(Fallback(seeing, blind), "q", [Passage(image=png())])
    assert caught.value.__notes__ == ["blind was not asked, since it reads no images"]
