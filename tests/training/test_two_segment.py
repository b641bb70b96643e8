"""The model: what it computes, and that a pair's score is its own affair."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import BertConfig, BertModel

from nvrerank import ModelLoadError
from nvrerank.local.bundled.network import (
    EVIDENCE,
    PackedEmbedding,
    TwoSegmentConfig,
    TwoSegmentEncoder,
    lexical_features,
)
from nvrerank.local.bundled.packed_weights import PackedLinear, pack4, stored
from nvrerank.local.checkpoint import Config
from nvrerank.local.layers import pack_linear
from nvrerank.local.tokenization import TokenPair
from training.start import bert_tensors, fit_weights, set_frequencies

from .conftest import CONFIG

SHUT = -1e4


@pytest.fixture
def bert():
    """A random BERT of the same size, as transformers computes it."""
    torch.manual_seed(1)
    theirs = set(BertConfig().to_dict())
    sizes = {name: value for name, value in CONFIG.__dict__.items() if name in theirs}
    return BertModel(BertConfig(**sizes, attn_implementation="eager"), add_pooling_layer=False).eval()


def from_random_bert(bert, *, gate=SHUT):
    """Our model with BERT's weights, the cosine alone weighed, and all gates at one value."""
    model = TwoSegmentEncoder(CONFIG)
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    state |= bert_tensors(bert.state_dict(), CONFIG.num_hidden_layers)
    state |= {name: torch.full_like(tensor, gate) for name, tensor in state.items() if name.endswith("gates")}
    state["weights"][0] = 20.0
    state["classes"] = torch.arange(CONFIG.vocab_size, dtype=torch.int32)
    model.load_state_dict(state)
    return model.eval()


def mean_of(bert, ids):
    return bert(torch.tensor([ids])).last_hidden_state[0].mean(0)


@torch.inference_mode()
def test_with_shut_gates_and_no_new_terms_the_score_is_the_cosine_of_two_bert_embeddings(bert, pairs):
    expected = [20 * torch.cosine_similarity(mean_of(bert, q), mean_of(bert, p), dim=0) for q, p in pairs]
    assert from_random_bert(bert)(pairs).tolist() == pytest.approx([float(e) for e in expected], abs=1e-5)


@torch.inference_mode()
def test_control_with_open_gates_the_score_is_another(bert, pairs):
    shut, opened = from_random_bert(bert)(pairs), from_random_bert(bert, gate=0.0)(pairs)
    assert (shut - opened).abs().max() > 1e-3


@torch.inference_mode()
def test_a_fully_open_gate_is_ordinary_attention_over_both_segments(bert):
    query, passage = [1, 5, 6, 2], [1, 7, 8, 9, 2]
    config = TwoSegmentConfig(**{**CONFIG.__dict__, "first_crossing_layer": 0})
    model = TwoSegmentEncoder(config)
    model.load_state_dict(from_random_bert(bert, gate=0.0).state_dict())
    places = torch.tensor([[*range(4), *range(5)]])
    hidden = bert(torch.tensor([query + passage]), position_ids=places).last_hidden_state[0]
    expected = 20 * torch.cosine_similarity(hidden[:4].mean(0), hidden[4:].mean(0), dim=0)
    assert float(model([(query, passage)])) == pytest.approx(float(expected), abs=1e-5)


@torch.inference_mode()
def test_a_score_depends_on_its_own_pair_alone(model, pairs):
    together = model(pairs)
    alone = torch.cat([model([pair]) for pair in pairs])
    backwards = model(pairs[::-1]).flip(0)
    assert (together - alone).abs().max() < 1e-5
    assert (together - backwards).abs().max() < 1e-5


@torch.inference_mode()
def test_control_a_passage_that_goes_on_gives_another_score(model, pairs):
    leaking = model([([*pairs[0][0]], [*pairs[0][1], *pairs[3][1]])])
    assert (leaking - model(pairs[:1])).abs().max() > 1e-3


@torch.inference_mode()
def test_in_float64_a_batch_and_its_pairs_agree_to_rounding(model, pairs):
    model.double()
    assert (model(pairs) - torch.cat([model([pair]) for pair in pairs])).abs().max() < 1e-5


@torch.inference_mode()
def test_in_bfloat16_rows_are_filled_up_and_scores_stay(model, pairs):
    exact, rows = model(pairs), []
    for name, weight in model.named_parameters():
        if name.startswith("layers.") and "norm" not in name:
            weight.data = weight.data.bfloat16()
    model.layers[0].up.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    model.layers[2].down.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    assert 0 < (model(pairs) - exact).abs().max() < 0.1
    assert rows == [128, 256, 320]  # of 6 x 11, 6 x 40, 6 x 51: queries, passages, both
    pack_linear(model)
    assert (model(pairs) - exact).abs().max() < 0.1


@torch.inference_mode()
def test_no_pairs_give_no_scores(model):
    assert model([]).shape == (0,)


def test_a_segment_longer_than_the_positions_is_an_error(model):
    with pytest.raises(ValueError, match="1 to 40 tokens"):
        model([([1, 2], [5] * 41)])
    with pytest.raises(ValueError, match="1 to 40 tokens"):
        model([([], [5])])


def test_gradients_reach_every_parameter_from_the_first_crossing_layer_on(model, pairs):
    model(pairs).square().sum().backward()
    idle = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    below = ("words.", "positions.", "embedding_norm.", "layers.0.")
    assert idle == {name for name, _ in model.named_parameters() if name.startswith(below)}


def test_the_module_is_built_on_the_meta_device_and_loaded_strictly(model, pairs):
    with torch.device("meta"):
        empty = TwoSegmentEncoder(CONFIG)
    empty.load_state_dict(model.state_dict(), strict=True, assign=True)
    assert torch.equal(empty.eval()(pairs), model(pairs))


def config_of(tmp_path, values) -> TwoSegmentConfig:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(values))
    return TwoSegmentConfig.read(Config.read(file))


def test_a_configuration_survives_json(tmp_path):
    assert config_of(tmp_path, {**CONFIG.__dict__, "model_type": "x"}) == CONFIG


@pytest.mark.parametrize(
    "nonsense",
    [
        {"hidden_size": 0},
        {"hidden_size": "32"},
        {"hidden_size": True},
        {"num_attention_heads": 5},
        {"vocab_size": -1},
        {"first_crossing_layer": -1},
        {"num_hidden_layers": 2.5},
        {"layer_norm_eps": "small"},
        {"temperature": 0},
        {"offset": "none"},
    ],
)
def test_a_nonsense_configuration_is_refused_by_its_file(tmp_path, nonsense):
    with pytest.raises(ModelLoadError, match=r"config\.json: .* must"):
        config_of(tmp_path, {**CONFIG.__dict__, **nonsense})


def test_a_missing_size_is_refused_by_its_name(tmp_path):
    with pytest.raises(ModelLoadError, match="vocab_size"):
        config_of(tmp_path, {"hidden_size": 32})


def test_lexical_evidence_counts_matches_by_their_rarity():
    match = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    rarity, length = torch.tensor([[1.0, 3.0, 4.0]]), torch.tensor([1.0])
    [features] = lexical_features(match[None], match[None], rarity, length)
    coverage, saturated, rare, adjacent = features[:4].tolist()
    assert coverage == pytest.approx((1 + 3) / 8)
    assert saturated == pytest.approx((1 / 2.2 * 1 + 2 / 3.2 * 3) / 8)
    assert rare == pytest.approx((1 + 9) / 26)
    assert adjacent == pytest.approx(1 * 3 / (1 * 3 + 3 * 4))


@torch.inference_mode()
def test_evidence_is_finite_where_nothing_matches_and_where_nothing_carries_evidence(model):
    evidence, _ = model.describe([([1, 5, 2], [1, 6, 2]), ([1, 2], [1, 2]), ([1], [1])])
    assert evidence.shape == (3, EVIDENCE)
    assert evidence.isfinite().all()


def test_frequencies_make_rare_tokens_weigh_more_and_special_ones_nothing(model):
    set_frequencies(model, [[1, 5, 2], [1, 5, 6, 2], [1, 5, 7, 2]], silent=[0, 1, 2, 3])
    assert model.idf[8] > model.idf[6] == model.idf[7] > model.idf[5] > 0
    assert model.idf[:4].tolist() == [0, 0, 0, 0]


@torch.inference_mode()
def test_a_query_of_many_passages_is_scored_as_with_each_alone(model, pairs):
    query = pairs[0][0]
    asked = [(query, passage) for _, passage in pairs]
    alone = torch.cat([model([pair]) for pair in asked])
    assert (model(asked) - alone).abs().max() < 1e-5


@torch.inference_mode()
def test_prefixes_and_ends_are_no_evidence(model):
    """The same pair says more where its first token is text."""
    prefixed = TwoSegmentEncoder(replace(CONFIG, query_prefix_tokens=2, passage_prefix_tokens=2)).eval()
    prefixed.load_state_dict(model.state_dict())
    pair = ([1, 8, 9, 2], [1, 8, 30, 2])
    (bare, _), (framed, _) = model.describe([pair]), prefixed.describe([pair])
    assert bare[0, 3] > 0
    assert framed[0, 3] == 0


@torch.inference_mode()
def test_pieces_of_one_class_match(model):
    pair = ([1, 8, 2], [1, 9, 2])
    assert model.describe([pair])[0][0, 3] == 0
    model.classes[9] = 8
    assert model.describe([pair])[0][0, 3] > 0


@torch.inference_mode()
def test_read_alone_to_the_end_a_text_is_embedded_as_by_bert(bert):
    ids = [1, 5, 6, 2]
    expected = torch.nn.functional.normalize(mean_of(bert, ids), dim=0)
    assert (from_random_bert(bert).embed([ids, [1, 2]])[0] - expected).abs().max() < 1e-5


@torch.inference_mode()
def test_calibration_moves_and_stretches_the_logits(model, pairs):
    calibrated = TwoSegmentEncoder(replace(CONFIG, temperature=2.0, offset=3.0)).eval()
    calibrated.load_state_dict(model.state_dict())
    batch = [TokenPair([*q, *p], len(q), len(q) + len(p)) for q, p in pairs]
    assert calibrated.logits(batch).tolist() == pytest.approx(((model(pairs) - 3) / 2).tolist(), abs=1e-5)


def test_four_bits_keep_what_has_four_bits_and_round_the_rest():
    chance = torch.Generator().manual_seed(0)
    steps = torch.rand(5, 3, 1, generator=chance).half().float()
    codes = torch.randint(-8, 8, (5, 3, 32), generator=chance).float()
    codes[:, :, 7] = -8  # the number farthest from 0 fixes the step
    rows = (codes * steps).flatten(1)
    assert torch.equal(unpacked(rows), rows)
    noise = torch.randn(5, 96, generator=chance)
    error = (unpacked(noise) - noise).abs().unflatten(1, (3, 32)).amax(2)
    assert (error <= noise.abs().unflatten(1, (3, 32)).amax(2) / 8 + 1e-3).all()
    assert error.max() > 0
    assert torch.equal(unpacked(torch.zeros(1, 32)), torch.zeros(1, 32))


def unpacked(rows):
    table = PackedEmbedding(*rows.shape)
    table.codes.copy_(pack4(rows)[0])
    table.scales.copy_(pack4(rows)[1])
    return table(torch.arange(len(rows)))


@torch.inference_mode()
def test_a_model_in_its_stored_form_scores_as_it_did_but_for_rounding(model, pairs):
    small = TwoSegmentEncoder.in_stored_form(CONFIG).eval()
    small.load_state_dict(stored(model.state_dict()))
    small.expand()
    moved = (small(pairs) - model(pairs)).abs()
    assert 0 < moved.max() < 0.5
    assert not [name for name, one in small.named_modules() if isinstance(one, PackedLinear)]


def test_fitting_the_weights_puts_the_positive_first_and_touches_nothing_else(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    groups = [
        [([1, n, n + 1, 2], [1, n, n + 1, 9, 2]), ([1, n, n + 1, 2], [1, 40, 41, 42, 2])]
        for n in range(10, 30)
    ]
    fit_weights(model, groups)
    scores = torch.stack([model.describe(group)[0] @ model.weights for group in groups])
    assert (scores[:, 0] > scores[:, 1]).all()
    assert [n for n, t in model.state_dict().items() if not torch.equal(t, before[n])] == ["weights"]
