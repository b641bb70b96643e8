"""Raw figures to tables and a picture."""

from __future__ import annotations

import copy
import json

import pytest

from bench.local import bar_chart, comparison

REFERENCE = [[3.0, 1.0, 2.0]]


def measured(seconds, scores=REFERENCE, others=0.0):
    load = {"own": 2.0, "idle_workers": 0.0, "busy_core": 0.0, "others": others, "stolen": 0.0}
    return {
        "seconds": seconds,
        "cpu": seconds,
        "gemm": [100.0, 200.0, 400.0],
        "scores": scores,
        "load": {**load, "contaminated": others > 0.1},
    }


def configuration(label, kind, precision="float32", **settings):
    return {
        "label": label,
        "peer": label,
        "worker": label,
        "settings": settings,
        "precision": precision,
        "kind": kind,
    }


RESULT = {
    "workload": "w",
    "title": "A workload",
    "mode": "quiet",
    "layers": 6,
    "taken": "2026-01-02 03:04",
    "machine": {"processor": "P", "cores": 2, "features": ["avx2"], "memory_gib": 24, "load_before": 0.1},
    "tokens": [10, 20],
    "flops": 200 * 10**9,
    "reference": REFERENCE,
    "workers": {
        "nvrerank": {"versions": {"torch": "1"}, "environment": {}},
        "peer": {"versions": {"peer": "2"}, "environment": {"OMP_NUM_THREADS": "1"}, "replicas": 2},
        "small": {"versions": {"small": "3"}, "environment": {}},
        "unused": {"versions": {}, "environment": {}},
    },
    "not_run": {"infinity": "not installed"},
    "configurations": [
        configuration("peer", "best", batch_size=8, by_length=True),
        configuration("small", "default", "int8"),
        configuration("nvrerank", "ours"),
    ],
    "measurements": {
        "nvrerank": [measured(2.0), measured(4.0), measured(2.0)],
        "peer": [measured(4.0), measured(8.0, others=0.5), measured(6.0)],
        "small": [measured(1.0), measured(1.0, [[3.0, 2.5, 2.0]]), measured(1.0)],
    },
}


def test_rows_hold_paired_ratios_rates_and_agreement():
    ours, peer, small = comparison.comparison_rows(RESULT)
    assert [ours.label, peer.label, small.label] == ["nvrerank", "peer", "small"]  # int8 apart, at the end
    assert ours.ratio.median == 1
    assert (peer.ratio.median, peer.ratio.least, peer.ratio.most) == (2, 2, 3)
    assert ours.gflops == 100
    assert ours.of_gemm.median == 1
    assert small.of_gemm.median == 0.5  # of the rate in its own precision
    assert (peer.contaminated, peer.load.most) == (1, 0.5)
    assert small.agreement.deviation == 1.5  # the worst of its rounds
    assert small.agreement.spearman == pytest.approx(0.5)


def test_a_table_names_settings_machine_absent_peers_and_contaminated_measurements():
    page = comparison.markdown([RESULT])
    for words in (
        "A workload, quiet",
        "batch 8, sorted by length, 2 replicas x 1 thread",
        "2.00 (2.00..3.00)",
        "0.00, 0.50 (1 contaminated)",
        "Not run: infinity: not installed",
        "P, 2 cores (avx2), 24 GiB",
        "GEMM, GFLOP/s: float32 100, bfloat16 200, int8 400",
        "nvrerank (torch 1; with its defaults)",
        "peer (peer 2; OMP_NUM_THREADS=1)",
    ):
        assert words in page
    assert "unused" not in page


def test_each_row_has_as_many_cells_as_headings():
    lines = [line for line in comparison.markdown([RESULT]).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3
    assert {line.count("|") for line in lines} == {12 + 1}
    assert len(set(map(len, lines))) == 1  # aligned, for a terminal


def test_without_our_own_measurements_there_is_no_ratio():
    result = copy.deepcopy(RESULT)
    del result["measurements"]["nvrerank"], result["configurations"][2]
    assert [row.ratio for row in comparison.comparison_rows(result)] == [None, None]


def test_files_of_several_runs_make_one_report(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(json.dumps({**RESULT, "title": name}))
    assert [result["title"] for result in comparison.read_all(tmp_path)] == ["a", "b"]


@pytest.mark.slow
def test_the_picture_is_a_png(tmp_path):
    bar_chart.draw([RESULT], tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_measured_is_no_picture(tmp_path):
    bar_chart.draw([], tmp_path / "report.png")
    assert list(tmp_path.iterdir()) == []
