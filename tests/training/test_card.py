"""The card: what was measured, in the template's places."""

import json

import pytest

from training import card, finish
from training.figures import folder_of


def figure(value, gain=None):
    return {
        "value": value,
        "gain": gain,
        "low": None if gain is None else gain - 0.01,
        "high": None if gain is None else gain + 0.01,
    }


def rows(names, sets, pairs=None):
    for retriever in names:
        for scorer, value in ((None, 0.5), ("bundled", 0.625)):
            all_three = {key: figure(value, None if scorer is None else 0.125) for key in card.SHOWN}
            yield {
                "retriever": retriever,
                "scorer": scorer,
                "average": all_three,
                "sets": dict.fromkeys(sets, all_three),
                "pairs": {"xquad": {pair: {"R@5": value} for pair in pairs or ()}},
            }


def report(names, sets, **info):
    infos = [{"name": one, "queries": 75, **info} for one in sets]
    return {"rows": list(rows(names, sets, info.get("averaged"))), "sets": infos, "top_k": 40}


@pytest.fixture
def figures():
    pairs = [f"{a}-{b}" for a in ("en", "de") for b in ("en", "de")]
    folder = "embedding:build/multilingual-e5-small"
    return {
        "training": {
            "steps": 9000,
            "pairs": 432000,
            "temperature": 1.5,
            "offset": 31.25,
            "questions": 300,
            "share_of_positives": 0.05,
            "expected_calibration_error": 0.0213,
            "probability_of_positives": 0.5,
            "probability_of_negatives": 0.03,
        },
        "english": report(["bm25", "embedding:all-MiniLM-L6-v2"], ["nq_hard", "xquad"]),
        "within": {one: report(["bm25", folder], ["xquad"]) for one in ("en", "th")},
        "across": report([folder], ["xquad"], averaged=pairs, query_languages=["en", "de"]),
        "demonstration": {
            "retriever": "all-MiniLM-L6-v2",
            "candidates": 20,
            "questions": [{}] * 71,
            "figures": {"before": {"nDCG@10": 0.477}, "after": {"nDCG@10": 0.561}},
            "gain": {"mean": 0.084, "low": 0.05, "high": 0.12, "better": 40, "worse": 10},
        },
        "settings": {"parameters": 78_320_000, "vocab_size": 148_663, "dtype": "bfloat16"},
        "files": {"model.safetensors": 55_644_712},
    }


def test_the_card_says_what_was_measured_and_leaves_no_name_open(figures):
    text = card.filled(figures)
    assert "$" not in text
    for part in (
        "78 million parameters, 56 MB",
        "9,000 steps, 432,000 pairs",
        "| MiniLM, nDCG@10 | 0.500 | 0.625 | +0.125 | +0.115 to +0.135 |",
        "| th | 0.500 | 0.625 | 0.500 | 0.625 |",
        "| mean | 0.500 | 0.625 | 0.500 | 0.625 |",
        "| **de** | 0.62 (0.50) | 0.62 (0.50) |",
        "0.500 to 0.625; the pair that loses most or gains least is en-en, +0.125",
        "nDCG@10 0.477 to 0.561. nDCG@10 gains +0.084 (+0.050 to +0.120)",
        "40 questions are answered better, 10 worse",
        "Expected calibration error (15 bins, fit on one half, measured on the other): 0.021",
        "one in\n20 is the answer",
    ):
        assert part in text, part


def test_a_figure_that_was_not_measured_is_an_error(figures):
    del figures["training"]["pairs"]
    with pytest.raises(KeyError, match="pairs"):
        card.filled(figures)


def test_a_page_s_marked_figures_are_made_anew_and_nothing_else(figures):
    page = "Gains:\n\n<!-- figures: across_mean -->\n\nold\n\n<!-- end -->\n\nmore"
    made = card.refilled(page, figures)
    assert made == page.replace("old", card.words(figures)["across_mean"])
    with pytest.raises(KeyError, match="other"):
        card.refilled(page.replace("across_mean", "other"), figures)


def test_figures_are_read_by_the_names_of_their_files(tmp_path):
    (tmp_path / "files.json").write_text('{"a": 1}')
    assert card.read(tmp_path) == {"files": {"a": 1}}


def test_the_card_is_of_the_weights_that_are_there(tmp_path, figures):
    """Figures are found by the model's fingerprint: of other weights there are none."""
    report, model, page = (tmp_path / name for name in ("report", "model", "page.md"))
    model.mkdir()
    (tmp_path / "eval" / "xquad" / "qrels").mkdir(parents=True)
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    (model / "config.json").write_text(json.dumps(dict.fromkeys(sizes, 2)))
    (model / "model.safetensors").write_bytes(b"weights")
    for name, found in figures.items():
        (folder_of(model, report) / f"{name}.json").write_text(json.dumps(found))
    page.write_text("<!-- figures: across_mean -->\n\nold\n\n<!-- end -->")
    options = {"data": tmp_path, "report": report, "model": model, "card": tmp_path / "card.md", "page": page}
    arguments = ["--parts", "card", *(f"--{name}={value}" for name, value in options.items())]
    finish.main(arguments)
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == card.filled(figures)
    assert "old" not in page.read_text(encoding="utf-8")
    (model / "model.safetensors").write_bytes(b"others")
    with pytest.raises(KeyError, match="training"):
        finish.main(arguments)
