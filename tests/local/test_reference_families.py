"""Each architecture that people load scores as sentence-transformers' own CrossEncoder in float32."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import pytest
import torch
from sentence_transformers import CrossEncoder
from support.families import FAMILIES, UNTYPED, save_tiny, tiny_model
from support.processor import WITH_INT8

from nvrerank import LocalScorer, ModelLoadError
from nvrerank.local.checkpoint import Checkpoint
from nvrerank.local.families import find_family
from nvrerank.local.saved import Saved

QUERY = "who wrote the book?"
PASSAGES = [
    "the book of the dead sea scrolls",
    "rust",
    "a class is iterable when it defines __iter__ and more, " * 4,
    "The Kernel of a banana",
]
PROMPTLESS = ".* is scored without a prompt"


def library(folder, query=QUERY, passages=PASSAGES, **settings) -> list[float]:
    """The oracle: one pair at a time, so that no padding has a say."""
    encoder = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity(), **settings)
    return [float(encoder.predict([(query, passage)])[0]) for passage in passages]


def scorer_of(folder, **settings) -> LocalScorer:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", PROMPTLESS)
        return LocalScorer(folder, **{"device": "cpu", "dtype": "float32"} | settings).load()


def apart(first: list[float], second: list[float]) -> float:
    return max(abs(one - other) for one, other in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folders: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = save_tiny(tmp_path_factory.mktemp(kind), kind)
        return folders[kind]

    return folder


@pytest.mark.parametrize("kind", FAMILIES)
def test_batched_and_alone_scores_are_the_librarys(saved, kind):
    scorer, wanted = scorer_of(saved(kind)), library(saved(kind))
    assert scorer.score(QUERY, PASSAGES) == pytest.approx(wanted, abs=1e-4)
    assert [scorer.score(QUERY, [passage])[0] for passage in PASSAGES] == pytest.approx(wanted, abs=1e-4)
    assert max(wanted) - min(wanted) > 0.05, "scores this close would agree by chance"


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_fast_path_is_taken_where_it_computes_the_same_and_nowhere_else(saved, kind):
    read = Saved.read(saved(kind))
    assert (find_family(Checkpoint.open(read.backbone), read) is not None) == FAMILIES[kind].fast


@pytest.mark.parametrize("kind", ["bert", "distilbert", "mpnet", "qwen3"])
def test_a_long_passage_is_cut_as_the_library_cuts_it(saved, kind):
    long = ["the sea and the shore of the dead " * 60]
    scorer = scorer_of(saved(kind), long_passages="truncate")
    assert scorer.max_length == 128
    assert scorer.score(QUERY, long) == pytest.approx(library(saved(kind), passages=long), abs=1e-4)


def test_every_architecture_tested_here_is_in_the_documentations_table():
    table = (Path(__file__).parents[2] / "docs" / "local-models.md").read_text()
    listed = set(re.findall(r"`([\w-]+)`", table))
    assert set(FAMILIES) <= listed


@pytest.mark.parametrize(
    ("kind", "mistake"),
    [
        ("electra", {"hidden_act": "relu"}),
        ("deberta-v2", {"hidden_act": "relu"}),
        ("modernbert", {"classifier_pooling": "mean"}),
        ("bert", {"hidden_act": "relu"}),
        ("bert", {"is_decoder": True}),
        ("xlm-roberta", {"hidden_act": "gelu_new"}),
        ("roberta", {"pad_token_id": 3}),
    ],
)
def test_another_function_in_config_json_is_heard_and_would_be_noticed(saved, tmp_path, kind, mistake):
    before = library(saved(kind))
    folder = save_tiny(tmp_path, kind)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **mistake}))
    scores = scorer_of(folder).score(QUERY, PASSAGES)
    assert scores == pytest.approx(library(folder), abs=1e-4)
    assert apart(scores, before) > 1e-4


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
@pytest.mark.parametrize(
    "settings",
    [
        {"model_max_length": 16},
        {"model_max_length": 16, "truncation_side": "left"},
        {"model_input_names": list(UNTYPED)},
        {"cls_token": "[SEP]"},
    ],
    ids=["shorter", "cut-left", "no-types", "another-cls"],
)
def test_a_tokenizers_settings_are_heard(tmp_path, kind, settings):
    folder = save_tiny(tmp_path, kind, **settings)
    scores = scorer_of(folder, long_passages="truncate").score(QUERY, PASSAGES)
    assert scores == pytest.approx(library(folder), abs=1e-4)


def test_types_left_out_and_lengths_cut_would_be_noticed(saved, tmp_path):
    usual = scorer_of(saved("bert")).score(QUERY, PASSAGES)
    untyped = save_tiny(tmp_path / "untyped", "bert", model_input_names=list(UNTYPED))
    shorter = save_tiny(tmp_path / "shorter", "bert", model_max_length=16)
    assert apart(scorer_of(untyped).score(QUERY, PASSAGES), usual) > 1e-3
    assert apart(scorer_of(shorter, long_passages="truncate").score(QUERY, PASSAGES), usual) > 1e-3


@pytest.mark.parametrize("lower", [True, False])
def test_casing_is_the_saved_tokenizers(tmp_path, lower):
    folder = save_tiny(tmp_path, "bert")
    file = folder / "tokenizer_config.json"
    values = {**json.loads(file.read_text()), "tokenizer_class": "BertTokenizer", "do_lower_case": lower}
    file.write_text(json.dumps(values))
    shouted = [passage.upper() for passage in PASSAGES]
    scorer = scorer_of(folder, long_passages="truncate")
    scores = scorer.score(QUERY, shouted)
    assert scores == pytest.approx(library(folder, passages=shouted), abs=1e-4)
    assert (apart(scores, scorer.score(QUERY, PASSAGES)) < 1e-4) == lower


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "gemma2", "gpt2"])
def test_a_model_without_a_padding_token_is_scored_one_by_one(tmp_path, kind):
    model = tiny_model(kind)
    model.config.pad_token_id = None
    folder = save_tiny(tmp_path, kind, model=model)
    scores = scorer_of(folder).score(QUERY, PASSAGES)
    assert scores == pytest.approx(library(folder), abs=1e-4)


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_decoder_without_a_prompt_is_warned_of(saved, kind):
    with pytest.warns(UserWarning, match=PROMPTLESS) as warned:
        LocalScorer(saved(kind), device="cpu", dtype="float32").load()
    assert warned[0].filename == __file__


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "modernbert", "deberta-v2", "qwen3"])
def test_heads_compute_in_float32_whatever_the_layers_do(tmp_path, kind):
    model = tiny_model(kind)
    for weight in model.parameters():
        if weight.shape == (1,):
            weight.data.fill_(9.0)  # near 9, bfloat16 has steps of a sixteenth
    folder = save_tiny(tmp_path, kind, model=model)
    many = [f"the shore of sea {number}" for number in range(60)]
    exact = scorer_of(folder).score(QUERY, many)
    half = scorer_of(folder, dtype="bfloat16").score(QUERY, many)
    assert len(set(half)) == len(set(exact)) == 60
    assert apart(half, exact) < 0.25


@WITH_INT8
@pytest.mark.parametrize("kind", ["deberta-v2", "modernbert", "distilbert", "qwen3"])
def test_int8_stays_near_float32(saved, kind):
    scores = scorer_of(saved(kind), quantize="int8").score(QUERY, PASSAGES)
    exact = library(saved(kind))
    assert 1e-6 < apart(scores, exact) < 0.3 * (max(exact) - min(exact))


@WITH_INT8
def test_int8_of_an_architecture_without_linear_layers_says_so(saved):
    scorer = LocalScorer(saved("gpt2"), device="cpu", quantize="int8")
    with pytest.raises(ModelLoadError, match="finds no linear layers"):
        scorer.load()


def test_loading_shows_no_bar_unless_asked(saved, capfd):
    scorer_of(saved("electra"))
    quiet = capfd.readouterr().err
    scorer_of(saved("electra"), progress=True)
    assert quiet == ""
    assert "Loading weights" in capfd.readouterr().err
