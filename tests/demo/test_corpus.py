import pytest

from demo import corpus

PAGE = """\
The "sample" statement
**********************

What it is.

object.__one__(self)
object.__two__(self)

   What both do.

      code = here

Back to what it is.

Details
=======

More.

class sample.Thing(argument)

   What it makes.
"""


def test_a_page_is_cut_at_its_headings_and_signatures():
    assert list(corpus.reference({"sample": PAGE})) == [
        ("The sample statement", "What it is."),
        ("object.__one__", "object.__one__(self)\nobject.__two__(self)"),
        ("object.__one__", "What both do."),
        ("object.__one__", "   code = here"),
        ("The sample statement", "Back to what it is."),
        ("Details", "More."),
        ("sample.Thing", "class sample.Thing(argument)"),
        ("sample.Thing", "What it makes."),
    ]


def test_a_page_without_a_heading_is_named_by_its_key():
    assert list(corpus.reference({"key": "Words."})) == [("key", "Words.")]


@pytest.fixture(scope="module")
def passages():
    return corpus.passages()


def test_the_reference_and_the_library_are_both_there(passages):
    topics = {one.topic for one in passages}
    assert {"The for statement", "object.__iter__", "str.join", "functools.lru_cache", "enumerate"} <= topics
    assert 1_000 < len(passages) < 2_500


def test_a_passage_opens_with_its_topic_and_is_of_a_readable_size(passages):
    for one in passages:
        assert one.text.startswith(one.topic + "\n")
        assert len(one.text) <= 800 + len(one.topic) + 1


def test_ids_are_unique_and_say_the_topic(passages):
    assert len({one.id for one in passages}) == len(passages)
    assert all(one.id.rpartition("#")[0] == one.topic for one in passages)


def test_what_is_printed_twice_is_in_the_corpus_once(passages):
    assert len({one.text for one in passages}) == len(passages)


def test_the_corpus_is_the_same_each_time(passages):
    assert corpus.passages() == passages
