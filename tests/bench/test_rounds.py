"""Turns, best settings and where they are kept."""

from __future__ import annotations

import pytest

from bench.local.contestants import OURS, PEERS, chosen
from bench.local.rounds import Entrant, Turn, order, play
from bench.local.tuning import Settings, best, candidates


def entrants(*labels):
    return [Entrant(label, label, label) for label in labels]


def played(take_turn, *labels, rounds=5):
    probes = iter(range(1000))
    return play(entrants(*labels), rounds, take_turn, lambda: float(next(probes)), lambda _line: None)


def test_everyone_has_one_turn_in_every_round_and_the_first_round_does_not_count():
    seen = []

    def take_turn(entrant, gemm):
        seen.append((gemm, entrant.label))
        return Turn(gemm, 0, {}, gemm, [])

    turns, failed = played(take_turn, "a", "b", "c")
    assert failed == {}
    assert list(turns) == ["a", "b", "c"]
    assert all([turn.gemm for turn in mine] == [1, 2, 3, 4, 5] for mine in turns.values())
    assert sorted(seen) == sorted((float(number), label) for number in range(6) for label in "abc")


def test_nobody_always_follows_the_same_neighbour():
    orders = [order("abc", number) for number in range(6)]
    assert all(sorted(one) == ["a", "b", "c"] for one in orders)
    assert {one[0] for one in orders} == {"a", "b", "c"}
    before_b = {one[one.index("b") - 1] for one in orders if one[0] != "b"}
    assert before_b == {"a", "c"}


def test_who_fails_is_named_and_the_others_go_on():
    def take_turn(entrant, gemm):
        if entrant.label == "b" and gemm == 2:
            raise RuntimeError("out of memory")
        return Turn(1, 0, {}, gemm, [])

    turns, failed = played(take_turn, "a", "b")
    assert failed == {"b": "out of memory"}
    assert list(turns) == ["a"]
    assert len(turns["a"]) == 5


def test_the_quickest_by_the_median_of_three_wins_not_by_one_lucky_run():
    times = {"lucky": [1.0, 9.0, 9.0], "steady": [1.2, 1.2, 1.2], "slow": [1.4] * 3, "slower": [1.45]}
    runs = {label: iter(seconds) for label, seconds in times.items()}
    some = [Entrant(label, "p", "w", {"name": label}) for label in times]
    found = best(some, lambda entrant: next(runs[entrant.label]))
    assert found["settings"] == {"name": "steady"}
    assert found["tried"] == times


def test_a_setting_that_fails_is_not_the_best():
    def seconds(entrant):
        if entrant.label == "broken":
            raise RuntimeError("no")
        return 3.0

    assert list(best(entrants("broken", "works"), seconds)["tried"]) == ["works"]
    assert best(entrants("broken"), seconds) is None


def test_batches_larger_than_a_hopeless_one_are_not_tried_in_the_same_order():
    asked = []

    def seconds(entrant):
        size, sorted_first = entrant.settings["batch_size"], entrant.settings["by_length"]
        asked.append((sorted_first, size))
        return 8 / size if sorted_first else size

    some = [
        Entrant(f"{by_length} {size}", "p", "w", {"batch_size": size, "by_length": by_length})
        for by_length in (False, True)
        for size in (1, 2, 4)
    ]
    assert best(some, seconds)["settings"] == {"batch_size": 1, "by_length": False}
    assert [size for by_length, size in asked[:5] if not by_length] == [1, 2]  # 2 took twice as long
    assert [size for by_length, size in asked[:5] if by_length] == [1, 2, 4]


def test_what_was_found_is_kept_for_each_mode(tmp_path):
    file = tmp_path / "settings.json"
    Settings(file, "quiet").put("w", "p", {"worker": "one"})
    assert Settings(file, "quiet").get("w", "p", other_mode=False) == {"worker": "one"}
    assert Settings(file, "contended").get("w", "p", other_mode=False) is None
    assert Settings(file, "contended").get("w", "p", other_mode=True) == {"worker": "one"}


def test_every_setting_is_tried_on_each_worker():
    [peer] = [one for one in PEERS if one.name == "sentence-transformers"]
    for worker in peer.workers:
        tried = candidates(peer, worker)
        assert [entrant.settings["batch_size"] for entrant in tried] == [1, 2, 4, 8, 16, 32, 64]
        assert {entrant.worker for entrant in tried} == {worker.name}


def test_ours_takes_part_whoever_is_chosen():
    assert [peer.name for peer in chosen("flashrank", "minilm")] == [OURS, "flashrank"]
    assert [peer.name for peer in chosen("flashrank", "llama")] == [OURS]
    with pytest.raises(ValueError, match="no such peer: nobody"):
        chosen("nobody", "minilm")


def test_workers_have_names_of_their_own():
    names = [worker.name for peer in PEERS for worker in peer.workers]
    assert len(set(names)) == len(names)
