import pytest

from demo import corpus, questions
from demo.questions import DemoError


@pytest.fixture(scope="module")
def topics():
    return {one.topic for one in corpus.passages()}


def test_there_are_at_least_60_questions_and_none_is_asked_twice(topics):
    asked = [question.text for question in questions.read(topics)]
    assert len(asked) >= 60
    assert len(set(asked)) == len(asked)


def test_every_question_has_a_topic_of_this_pythons_corpus(topics):
    assert all(question.topics and question.topics <= topics for question in questions.read(topics))


def test_a_topic_that_this_python_does_not_document_is_named(topics):
    with pytest.raises(DemoError, match=r"no itertools\.product.*every possible pairing"):
        questions.read(topics - {"itertools.product"})


def test_upper_and_lower_case_of_a_topic_do_not_matter(topics):
    shouted = {topic.upper() for topic in topics}
    assert all(question.topics <= shouted for question in questions.read(shouted))
