"""The evaluation with Ray as its engine: the same figures, kept scores that any engine goes on from."""

import json

import pytest
from fake_nim import FakeNIM
from fake_nim.steps import answer, rank
from support.evaluation import QUERIES, Counting

from nvrerank import AuthenticationError
from nvrerank.evaluation import evaluate


def kept_scores(out):
    """Every kept score by query and passage, each as often as it is there."""
    [path] = (out / "scores").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return sorted((line["query"], *pair) for line in lines for pair in line["scores"].items())


def test_a_scorer_that_is_made_already_is_refused(make_set):
    with pytest.raises(TypeError, match="workers make the scorer themselves"):
        evaluate(make_set(), scorers=Counting(), engine="ray")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"engine": "spark"}, "must be 'local' or 'ray'"), ({"engine": "ray", "actors": 0}, "actors")],
)
def test_what_is_no_engine_and_no_number_of_actors_is_refused(make_set, wrong, words):
    with pytest.raises(ValueError, match=words):
        evaluate(make_set(), scorers="bundled", **wrong)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.usefixtures("ray_session")
def test_ray_gives_the_same_figures_and_goes_on_from_kept_scores(make_set, tmp_path):
    data = make_set()
    with FakeNIM() as nim:
        options = {"scorers": f"hosted:fake/m@{nim.url}"}
        here = evaluate(data, **options, out=tmp_path / "here")
        options |= {"engine": "ray", "cpus_per_actor": 0.5, "out": tmp_path / "ray"}
        there = evaluate(data, **options)
        assert there.rows == here.rows
        scores = kept_scores(tmp_path / "ray")
        assert scores == kept_scores(tmp_path / "here")
        [path] = (tmp_path / "ray" / "scores").glob("*.jsonl")
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:-1]))  # the last query's are lost
        asked = len(nim.seen)
        again = evaluate(data, **options)
    assert (again.rows, len(nim.seen) - asked) == (here.rows, 1)
    assert kept_scores(tmp_path / "ray") == scores


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.usefixtures("ray_session")
def test_a_query_that_cant_be_scored_on_ray_fails_alone_and_a_wrong_key_ends_the_run(make_set, tmp_path):
    async def picky(wire, seen):
        await (answer(422) if seen.pair[0] == QUERIES["q2"] else rank())(wire, seen)

    data, options = make_set(), {"engine": "ray", "cpus_per_actor": 0.5}
    with FakeNIM(default=picky) as nim:
        spec = f"hosted:fake/m@{nim.url}"
        report = evaluate(data, scorers=spec, out=tmp_path / "out", **options)
    [failure] = report.failures
    assert (failure.task, failure.query) == ("toy", "q2")
    assert {query for query, *_ in kept_scores(tmp_path / "out")} == {"q1", "q3"}
    with FakeNIM(default=answer(401)) as nim, pytest.raises(AuthenticationError):
        evaluate(data, scorers=f"hosted:fake/m@{nim.url}", **options)
