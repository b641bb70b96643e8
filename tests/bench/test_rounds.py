"""Rounds, best settings and where they are kept."""

from __future__ import annotations

import pytest

from bench.local.peers import OURS, PEERS, PRECISIONS, chosen
from bench.local.rounds import Configuration, Measurement, rotated, run_rounds
from bench.local.tuning import TuningCache, candidates, quickest


def configurations(*labels):
    return [Configuration(label, label, label) for label in labels]


def run(measure, *labels, rounds=5):
    rates = iter(range(1000))
    return run_rounds(configurations(*labels), rounds, measure, lambda: [float(next(rates))])


def test_each_is_measured_once_in_every_round_and_the_first_round_does_not_count():
    seen = []

    def measure(one, gemm):
        seen.append((gemm[0], one.label))
        return Measurement(1.0, 0, {}, gemm, [])

    measured, failed = run(measure, "a", "b", "c")
    assert failed == {}
    assert list(measured) == ["a", "b", "c"]
    assert all([one.gemm for one in mine] == [[1], [2], [3], [4], [5]] for mine in measured.values())
    assert sorted(seen) == sorted((float(number), label) for number in range(6) for label in "abc")


def test_nobody_always_follows_the_same_neighbour():
    orders = [rotated("abc", number) for number in range(6)]
    assert all(sorted(one) == ["a", "b", "c"] for one in orders)
    assert {one[0] for one in orders} == {"a", "b", "c"}
    before_b = {one[one.index("b") - 1] for one in orders if one[0] != "b"}
    assert before_b == {"a", "c"}


def test_what_fails_is_named_and_the_others_go_on():
    def measure(one, gemm):
        if one.label == "b" and gemm == [2]:
            raise RuntimeError("out of memory")
        return Measurement(1, 0, {}, gemm, [])

    measured, failed = run(measure, "a", "b")
    assert failed == {"b": "out of memory"}
    assert list(measured) == ["a"]
    assert len(measured["a"]) == 5


def test_the_quickest_by_the_median_of_three_wins_not_by_one_lucky_run():
    times = {"lucky": [1.0, 9.0, 9.0], "steady": [1.2, 1.2, 1.2], "slow": [1.4] * 3, "slower": [1.45]}
    runs = {label: iter(seconds) for label, seconds in times.items()}
    some = [Configuration(label, "p", "w", {"name": label}) for label in times]
    found = quickest(some, lambda one: next(runs[one.label]))
    assert found["settings"] == {"name": "steady"}
    assert found["tried"] == times


def test_a_setting_that_fails_is_not_the_best():
    def seconds(one):
        if one.label == "broken":
            raise RuntimeError("no")
        return 3.0

    assert list(quickest(configurations("broken", "works"), seconds)["tried"]) == ["works"]
    assert quickest(configurations("broken"), seconds) is None


def test_batches_larger_than_a_hopeless_one_are_not_tried_in_the_same_order():
    asked = []

    def seconds(one):
        size, sorted_first = one.settings["batch_size"], one.settings["by_length"]
        asked.append((sorted_first, size))
        return 8 / size if sorted_first else size

    some = [
        Configuration(f"{by_length} {size}", "p", "w", {"batch_size": size, "by_length": by_length})
        for by_length in (False, True)
        for size in (1, 2, 4)
    ]
    assert quickest(some, seconds)["settings"] == {"batch_size": 1, "by_length": False}
    assert [size for by_length, size in asked[:5] if not by_length] == [1, 2]  # 2 took twice as long
    assert [size for by_length, size in asked[:5] if by_length] == [1, 2, 4]


def test_what_was_found_is_kept_for_each_mode(tmp_path):
    file = tmp_path / "settings.json"
    TuningCache(file, "quiet").put("w", "p", {"worker": "one"})
    assert TuningCache(file, "quiet").get("w", "p", other_mode=False) == {"worker": "one"}
    assert TuningCache(file, "contended").get("w", "p", other_mode=False) is None
    assert TuningCache(file, "contended").get("w", "p", other_mode=True) == {"worker": "one"}


def test_every_setting_is_tried_on_each_worker():
    [peer] = [one for one in PEERS if one.name == "sentence-transformers"]
    for worker in peer.workers:
        tried = candidates(peer, worker)
        assert [one.settings["batch_size"] for one in tried] == [1, 2, 4, 8, 16, 32, 64]
        assert {one.worker for one in tried} == {worker.name}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_ours_is_measured_once_in_the_precision_that_it_takes_by_itself(precision):
    peers = chosen(None, "minilm", precision)
    mine = {peer.name: peer.precision for peer in peers if peer.name.startswith(OURS)}
    other = "bfloat16" if precision == "float32" else "float32"
    assert mine == {OURS: precision, f"{OURS}-{other}": other, f"{OURS}-int8": "int8"}


def test_ours_takes_part_whoever_is_chosen():
    assert [peer.name for peer in chosen("flashrank", "minilm", "float32")] == [OURS, "flashrank"]
    assert [peer.name for peer in chosen("flashrank", "llama", "float32")] == [OURS]
    with pytest.raises(ValueError, match="no such peer: nobody"):
        chosen("nobody", "minilm", "float32")


def test_workers_have_names_of_their_own():
    names = [worker.name for peer in PEERS for worker in peer.workers]
    assert len(set(names)) == len(names)


def test_peers_take_part_in_their_best_precision_too():
    compared = {peer.name.removesuffix(f"-{peer.precision}"): set() for peer in PEERS}
    for peer in PEERS:
        assert peer.precision in PRECISIONS
        compared[peer.name.removesuffix(f"-{peer.precision}")].add(peer.precision)
    assert compared["sentence-transformers"] == {"float32", "bfloat16"}
    assert compared["onnxruntime"] == {"float32", "int8"}
    assert compared[OURS] == compared["openvino"] == {"float32", "bfloat16", "int8"}
