"""A call walks through few functions of ours, and the counter sees all of them."""

from pathlib import Path

from walk import hosted, local, walk

import nvrerank


def test_a_hosted_call_walks_through_no_more_than_this():
    found = hosted()
    assert ("ranking.py", "rerank") in found.functions
    assert len(found.functions) <= 60
    assert len(found.files) <= 14


def test_a_local_call_walks_through_no_more_than_this():
    found = local()
    assert ("ranking.py", "rerank") in found.functions
    assert len(found.functions) <= 50
    assert len(found.files) <= 11


def test_a_first_call_also_opens_what_the_others_use():
    assert len(hosted(first=True).functions) > len(hosted().functions)


def test_each_function_counts_once_and_neither_comprehensions_nor_others_do():
    ours = str(Path(nvrerank.__file__).parent / "made_up.py")
    lines = "def one(): return [two(n) for n in sorted([2, 1], key=lambda n: n)]\ndef two(n): return abs(n)"
    scope = {}
    exec(compile(lines, ours, "exec"), scope)  # noqa: S102 (our own three lines)
    found = walk(scope["one"])
    assert found.functions == [("made_up.py", name) for name in ("one", "one.<locals>.<lambda>", "two")]
    assert (found.files, found.changes) == (["made_up.py"], 0)
    assert walk(lambda: sorted([2, 1], key=lambda n: n)).functions == []
