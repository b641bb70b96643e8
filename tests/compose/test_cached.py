"""Cached: a pair is scored once, and a cache that can't be used costs no more than that."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checkpoints import write_cross_encoder
from support.processor import WITH_INT8
from support.simple_scorers import Known, Length

from nvrerank import (
    Cached,
    CacheWarning,
    HostedScorer,
    LocalScorer,
    RequestRejectedError,
    Scored,
    ScoreSource,
    Windowed,
    rerank,
)
from nvrerank.compose.cached import _key, _read, _written
from nvrerank.compose.score_store import ScoreStore

PASSAGES = ["a", "ccc", "bb"]


@pytest.fixture(params=["in memory", "in a file"])
def path(request, tmp_path):
    return None if request.param == "in memory" else tmp_path / "scores.db"


def test_a_pair_is_scored_once(detailed, path):
    inner = Known()
    cached = Cached(inner, path)
    first = detailed(cached, "q", PASSAGES)
    assert detailed(cached, "q", PASSAGES) == first == detailed(Length(), "q", PASSAGES)
    assert inner.asked == [("q", PASSAGES)]


def test_only_what_is_not_known_is_asked_for_in_one_call(detailed, path):
    inner = Known()
    cached = Cached(inner, path)
    detailed(cached, "q", ["a", "bb"])
    scored = detailed(cached, "q", ["dddd", "a", "ccc", "dddd", "bb"])
    assert [one.logit for one in scored] == [4, 1, 3, 4, 2]
    assert inner.asked[1:] == [("q", ["dddd", "ccc"])]
    detailed(cached, "another query", ["a"])
    assert inner.asked[2:] == [("another query", ["a"])]


def test_many_queries_are_one_call_of_what_is_not_known():
    class Many(Known):
        calls = ()

        def _score_many(self, calls):
            self.calls = [*self.calls, [(query, list(texts)) for query, texts in calls]]
            return super()._score_many(calls)

    inner = Many()
    cached = Cached(inner)
    cached.score("q", ["a"])
    assert cached.score_many([("q", ["bb", "a"]), ("r", ["a"]), ("s", [])]) == [[2, 1], [1], []]
    assert inner.calls == [[("q", ["bb"]), ("r", ["a"]), ("s", [])]]
    assert cached.score_many([("q", ["bb"]), ("r", ["a"])]) == [[2], [1]]
    assert len(inner.calls) == 1


records = st.builds(
    Scored,
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([None, True, False]),
    st.none() | st.tuples(st.integers(0), st.integers(0)),
    st.booleans(),
    st.none() | st.builds(ScoreSource, st.text(), st.sampled_from(["logit", "probability"]), st.booleans()),
)


@given(records)
def test_all_that_a_record_says_comes_back_exactly(one):
    assert _read(_written("logit", one)) == ("logit", one)


@given(*[st.text(st.characters(exclude_categories=["Cs"]))] * 4)
def test_texts_that_run_together_are_different_pairs(query, passage, other_query, other_passage):
    same = (query, passage) == (other_query, other_passage)
    assert (_key(b"m", query, passage) == _key(b"m", other_query, other_passage)) is same


def test_another_models_score_is_never_taken(path):
    for weight in (1.0, 2.0, 1.0):
        assert Cached(Known(weight=weight), path).score("q", ["bb"]) == [2 * weight]


@pytest.mark.parametrize(
    "options",
    [
        {"max_length": 64},
        {"long_passages": "windows"},
        {"long_passages": "error"},
        {"dtype": "float16"},
        pytest.param({"quantize": "int8"}, marks=WITH_INT8),
        {"label": 0},
    ],
    ids=str,
)
def test_whatever_changes_a_local_models_scores_changes_what_they_are_kept_under(options):
    kept = Cached(LocalScorer(device="cpu"))  # in float32 or bfloat16, as this CPU likes it
    assert Cached(LocalScorer(device="cpu", **options))._identity != kept._identity
    assert Cached(LocalScorer(device="cpu", batch_tokens=99))._identity == kept._identity


def test_a_local_model_is_known_by_its_files_and_not_by_where_they_are(tmp_path):
    one = Path(write_cross_encoder(tmp_path / "one" / "model", "bert"))
    other = tmp_path / "other" / "model"
    shutil.copytree(one, other)
    here, there = Cached(LocalScorer(one)), Cached(LocalScorer(other))
    assert here._identity == there._identity
    (other / "config.json").write_text((other / "config.json").read_text() + " ")
    assert Cached(LocalScorer(other))._identity != here._identity
    assert pickle.loads(pickle.dumps(there))._identity != here._identity, "read again where it is unpickled"


@pytest.mark.parametrize(
    "options",
    [
        {"model": "n"},
        {"base_url": "http://other/v1"},
        {"truncate": "NONE"},
        {"protocol": "tei"},
        {"extra_body": {"instruction": "x"}},
    ],
    ids=str,
)
def test_whatever_changes_a_hosted_models_scores_changes_what_they_are_kept_under(options):
    usual = {"model": "m", "base_url": "http://nim/v1"}
    assert Cached(HostedScorer(**{**usual, **options}))._identity != Cached(HostedScorer(**usual))._identity


def test_windows_have_scores_of_their_own():
    inner = Known()
    kept = {Cached(one)._identity for one in (inner, Windowed(inner, size=9), Windowed(inner, size=8))}
    assert len(kept) == 3


@pytest.mark.parametrize(
    ("scorer", "why"),
    [
        (Length(), "it does not say what decides its scores"),
        (Length(listwise=True, identity={"model": "m"}), "depends on the other passages"),
        (HostedScorer(base_url="http://nim/v1"), "name the model of a server"),
        (Windowed(Length(), size=9), "let its `identity` return"),
    ],
    ids=["unknown", "listwise", "the server's own model", "unknown within"],
)
def test_a_scorer_whose_scores_can_not_be_kept_is_refused_with_what_to_do(scorer, why):
    with pytest.raises(TypeError, match=why):
        Cached(scorer)


def test_scores_are_there_for_the_next_process(tmp_path):
    cached = Cached(Known(), tmp_path / "scores.db")
    cached.score("q", PASSAGES)
    cached.close()
    inner = Known()
    assert Cached(inner, str(tmp_path / "scores.db")).score("q", PASSAGES) == [1, 3, 2]
    assert inner.asked == []


def test_the_scale_that_a_server_was_found_to_have_is_kept_too(tmp_path):
    """A later process may find all scores in the file, so that no reply teaches it the scale."""
    learnt = Known(scale="logit")
    Cached(learnt, tmp_path / "scores.db").score("q", ["bb"])
    unlearnt = Known(scale="probability")
    [one] = rerank(Cached(unlearnt, tmp_path / "scores.db"), "q", ["bb"], score_mode="sigmoid")
    assert one.score == pytest.approx(0.880797078)  # 1 / (1 + e^-2)
    assert unlearnt.asked == []


def test_the_oldest_go_first(path):
    inner = Known()
    cached = Cached(inner, path, max_entries=3)
    for passage in ("a", "bb", "ccc", "dddd"):
        cached.score("q", [passage])
    del inner.asked[:]
    cached.score("q", ["bb", "ccc", "dddd"])
    assert inner.asked == []
    cached.score("q", ["a"])
    assert inner.asked == [("q", ["a"])]


def test_a_call_of_more_than_there_is_room_for_is_answered(path):
    cached = Cached(Known(), path, max_entries=2)
    texts = ["x" * length for length in range(1, 1200)]
    assert cached.score("q", texts) == cached.score("q", texts) == list(range(1, 1200))


def test_threads_and_event_loops_share_it(path):
    inner = Known()
    cached = Cached(inner, path)
    texts = ["x" * length for length in range(1, 30)]

    def ask(start):
        if start % 2:
            return cached.score("q", texts[start:])
        return asyncio.run(cached.ascore("q", texts[start:]))

    with ThreadPoolExecutor(8) as pool, warnings.catch_warnings():
        answers = list(pool.map(ask, range(24)))
    assert answers == [[float(len(text)) for text in texts[start:]] for start in range(24)]
    del inner.asked[:]
    cached.score("q", texts)
    assert inner.asked == []


def test_processes_share_it(tmp_path):
    code = """
        import sys, warnings
        warnings.simplefilter("error")
        cached = Cached(Known(), sys.argv[1])
        for turn in range(int(sys.argv[2]), 40):
            assert cached.score("q", ["x" * turn, "y"]) == [turn, 1]
        """
    others = [run(code, tmp_path / "scores.db", start) for start in (1, 2, 3)]
    assert [other.communicate(timeout=60) and other.returncode for other in others] == [0, 0, 0]
    inner = Known()
    Cached(inner, tmp_path / "scores.db").score("q", ["x" * length for length in range(1, 40)])
    assert inner.asked == []


def test_a_forked_process_goes_on_with_the_file_and_neither_disturbs_the_other(tmp_path):
    cached = Cached(Known(), tmp_path / "scores.db")
    cached.score("q", ["a"])
    stop = threading.Event()
    busy = threading.Thread(
        target=lambda: [cached.score("q", ["y" * n]) for n in range(1, 400) if not stop.is_set()]
    )
    busy.start()
    pids = []
    for number in range(5):
        pid = os.fork()
        if pid == 0:
            os._exit(cached.score("q", ["a", "z" * (number + 1)]) != [1, number + 1])
        pids.append(pid)
    codes = [os.waitpid(pid, 0)[1] for pid in pids]
    stop.set()
    busy.join()
    assert codes == [0] * 5
    with sqlite3.connect(tmp_path / "scores.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    inner = Known()
    Cached(inner, tmp_path / "scores.db").score("q", ["a", *("z" * number for number in range(1, 6))])
    assert inner.asked == []


def filled(path, count=200):
    with Cached(Known(), path) as cached:
        cached.score("q", ["x" * length for length in range(1, count + 1)])
    return path


def damaged(path):
    filled(path)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def cut_short(path):
    filled(path)
    os.truncate(path, path.stat().st_size // 2)


def anothers(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE scores (key TEXT, value TEXT)")


def no_database(path):
    path.write_text("dear diary, " * 1000)


def a_folder(path):
    path.mkdir()


def in_no_folder(path):
    path.parent.rmdir()


@pytest.mark.parametrize("spoil", [damaged, cut_short, anothers, no_database, a_folder, in_no_folder])
def test_a_file_that_can_not_be_used_is_a_miss_and_one_warning(detailed, tmp_path, spoil):
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "scores.db"
    spoil(path)
    before = path.read_bytes() if spoil in (anothers, no_database) else None
    inner = Known(weight=2.0)
    cached = Cached(inner, path)
    with pytest.warns(CacheWarning, match=r"scores.db can't be .*; what is not in it is scored") as told:
        answers = [detailed(cached, "q", PASSAGES) for _ in range(3)]
    assert [[one.logit for one in answer] for answer in answers] == [[2, 6, 4]] * 3
    assert len(told) == 1
    assert before is None or path.read_bytes() == before, "another's file is left as it is"


def test_a_score_that_was_changed_in_the_file_is_never_taken(tmp_path):
    path = filled(tmp_path / "scores.db", 1)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE scores SET value = replace(value, '1.0', '7.0')")
        db.execute("UPDATE scores SET value = CAST(value AS BLOB)")
    db.close()
    with pytest.warns(CacheWarning, match="not as it was written"):
        assert Cached(Known(), path).score("q", ["x"]) == [1]


@pytest.fixture
def nobody():
    """Somebody whom permissions bind, which root is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    is_root = os.geteuid() == 0
    yield folder, (lambda: os.seteuid(65534) if is_root else None)
    if is_root:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_file_that_may_only_be_read_is_one_warning(nobody):
    folder, become = nobody
    path = filled(folder / "scores.db")
    path.chmod(0o444)
    folder.chmod(0o555)
    become()
    inner = Known()
    cached = Cached(inner, path)
    with pytest.warns(CacheWarning) as told:
        answers = [cached.score("q", ["x", "y" * 300]) for _ in range(3)]
    assert answers == [[1, 300]] * 3
    assert len(told) == 1


def run(code, *arguments, **options):
    script = "from support.simple_scorers import Known\nfrom nvrerank import Cached\n" + textwrap.dedent(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_full_disk_is_one_warning_and_what_was_there_still_is(tmp_path):
    path = filled(tmp_path / "scores.db", 50)
    full = run(
        """
        import resource, sys, warnings
        size = 200_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        cached = Cached(Known(), sys.argv[1])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for turn in range(30):
                texts = ["y" * (turn * 100 + number + 1) for number in range(100)]
                assert cached.score("q", texts) == [len(text) for text in texts]
        print(len(told), told[0].category.__name__)
        """,
        path,
    )
    assert full.communicate(timeout=60)[0].split() == ["1", "CacheWarning"]
    inner = Known()
    Cached(inner, path).score("q", ["x" * length for length in range(1, 51)])
    assert inner.asked == []


@pytest.mark.parametrize("writes", [1, 7, 20])
def test_a_process_killed_amid_a_write_loses_nothing_that_was_there(tmp_path, writes):
    path = filled(tmp_path / "scores.db", 50)
    writer = run(
        """
        import sys
        cached = Cached(Known(), sys.argv[1])
        for turn in range(10**9):
            cached.score("q", [f"{turn} {number}" for number in range(2000)])
            print(turn, flush=True)
        """,
        path,
    )
    for _ in range(writes):
        done = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=60)
    inner = Known()
    cached = Cached(inner, path)
    cached.score("q", ["x" * length for length in range(1, 51)])
    cached.score("q", [f"{turn} {number}" for turn in range(done + 1) for number in range(2000)])
    assert inner.asked == []
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_store_in_the_middle_of_a_transaction_that_is_never_ended_is_as_before(tmp_path):
    path = filled(tmp_path / "scores.db", 1)
    half = run(
        """
        import os, signal, sqlite3, sys
        db = sqlite3.connect(sys.argv[1], isolation_level=None)
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM scores")
        insert = "INSERT INTO scores (key, value) VALUES (randomblob(32), randomblob(400))"
        db.executemany(insert, [()] * 2000)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    half.communicate(timeout=60)
    assert half.returncode == -signal.SIGKILL
    assert (tmp_path / "scores.db-wal").stat().st_size > 400_000, "the write had begun"
    inner = Known()
    assert Cached(inner, path).score("q", ["x"]) == [1]
    assert inner.asked == []


def test_an_error_about_a_passage_names_the_callers_own(ranked):
    class Refuses(Known):
        def _score(self, query, passages):
            if "bad" in passages:
                raise RequestRejectedError("too long", index=passages.index("bad"))
            return super()._score(query, passages)

    cached = Cached(Refuses())
    cached.score("q", ["a", "bb"])
    with pytest.raises(RequestRejectedError, match=r"passages\[4\]"):
        ranked(cached, "q", ["", "a", "ccc", "bb", "bad"])
    with pytest.raises(RequestRejectedError) as caught:
        cached.score_many([("q", ["a"]), ("r", ["bad"])])
    assert caught.value.index is None


def test_what_fails_is_not_kept(detailed):
    inner = Known(fails=RequestRejectedError("no"))
    cached = Cached(inner)
    with pytest.raises(RequestRejectedError):
        detailed(cached, "q", PASSAGES)
    inner.fails = None
    assert [one.logit for one in detailed(cached, "q", PASSAGES)] == [1, 3, 2]


def test_a_pickle_goes_on_with_the_file(tmp_path):
    cached = Cached(Known(), tmp_path / "scores.db")
    cached.score("q", PASSAGES)
    twin = pickle.loads(pickle.dumps(cached))
    del twin.scorer.asked[:]
    assert twin.score("q", PASSAGES) == [1, 3, 2]
    assert twin.scorer.asked == []


def test_it_closes_the_file_and_the_scorer_within(tmp_path):
    with Cached(Known(), tmp_path / "scores.db") as cached:
        cached.score("q", PASSAGES)
    assert cached.scorer.closed
    assert sorted(one.name for one in tmp_path.iterdir()) == ["scores.db"]


def test_a_file_of_a_home_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    Cached(Known(), "~/scores.db").score("q", ["a"])
    assert (tmp_path / "scores.db").exists()


def test_a_store_in_memory_never_complains():
    problems = []
    store = ScoreStore(None, 10, problems.append)
    store.put({b"k" * 32: b"v"})
    assert store.get([b"k" * 32, b"x" * 32]) == {b"k" * 32: b"v"}
    assert problems == []


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"scorer": "bundled"}, TypeError, "scorer must be a Scorer, not str"),
        ({"path": 7}, TypeError, "path must name a file, not int"),
        ({"max_entries": 0}, ValueError, "max_entries must be 1 or more"),
    ],
)
def test_a_bad_argument_is_refused_at_construction(options, kind, message):
    with pytest.raises(kind, match=message):
        Cached(**{"scorer": Known(), **options})
