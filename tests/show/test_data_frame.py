"""Data frames, and what happens without the packages."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from nvrerank import Ranking, rerank


def test_a_frame_has_a_row_a_passage_best_first(ranking):
    frame = ranking.to_pandas()
    assert frame["index"].tolist() == [3, 1, 0, 4]
    assert frame["rank"].tolist() == [1, 2, 3, 4]
    assert frame["before"].tolist() == [4, 2, 1, 5]
    assert frame["moved"].tolist() == [3, 0, -2, 1]
    assert frame["text"].tolist() == ["about window here", "second", "first", " "]
    np.testing.assert_array_equal(frame["score"], [2.5, 1.0, -0.5, np.nan])
    np.testing.assert_array_equal(frame["retrieval_score"], [0.6, 0.8, 0.9, np.nan])
    np.testing.assert_array_equal(frame["fused"], [np.nan] * 4)
    assert frame["truncated"].tolist() == [True, pd.NA, False, pd.NA]
    assert frame["window_start"].tolist() == [6, pd.NA, pd.NA, pd.NA]
    assert frame["window_end"].tolist() == [12, pd.NA, pd.NA, pd.NA]
    assert frame.attrs == {"query": "which window?"}


def test_a_frame_tells_what_fused_the_order(scorer):
    frame = rerank(scorer, "a b", ["x", "a", "a b"], fuse="rrf").to_pandas()
    assert frame["index"].tolist() == [0, 2, 1]
    assert frame["fused"].tolist() == pytest.approx([1 / 61 + 1 / 63, 1 / 63 + 1 / 61, 2 / 62])


def test_an_empty_ranking_has_the_same_columns_and_types(ranking):
    empty = Ranking([], "q", []).to_pandas()
    assert len(empty) == 0
    assert empty.dtypes.equals(ranking.to_pandas().dtypes)


MAKE = "from nvrerank import Ranked, Ranking, show; one = Ranking([Ranked(0, 1.0)], 'q', ['a']); "


def python(code, cwd):
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("package", "call", "what"),
    [
        ("pandas", "one.to_pandas()", "a data frame"),
        ("matplotlib", "show.plot_rank_flow(one)", "a plot"),
        ("matplotlib", "show.plot_scores(one)", "a plot"),
        ("matplotlib", "show.plot_sweep(show.threshold_sweep([1], [1]))", "a plot"),
    ],
)
def test_a_missing_package_is_named_with_its_cure(tmp_path, package, call, what):
    done = python(f"import sys; sys.modules[{package!r}] = None; {MAKE}{call}", tmp_path)
    assert f"MissingExtraError: {what} needs {package}: pip install 'nvrerank[show]'" in done.stderr


def test_tables_and_pages_need_neither_and_the_room_loads_neither(tmp_path):
    heavy = ["matplotlib", "pandas", "numpy", "torch", "httpx"]
    loaded = f"import sys; print([name for name in {heavy} if name in sys.modules])"
    done = python(f"{MAKE}one._repr_html_(); show.page(one); {loaded}", tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_core_does_not_load_the_room(tmp_path):
    done = python("import sys, nvrerank; print('nvrerank.show' in sys.modules)", tmp_path)
    assert done.stdout.strip() == "False", done.stderr
