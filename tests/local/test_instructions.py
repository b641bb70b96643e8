"""An instruction stands where the authors' own code puts it; a prompt without a place for one refuses it."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from local.test_saved_models import CHAT, TEMPLATE, save_again
from local.test_yes_no_rerankers import PASSAGES, QUERY, RERANKERS, in_words, mxbai, qwen3, save
from sentence_transformers import CrossEncoder
from support.checkpoints import write_cross_encoder, write_decoder

from nvrerank import Cached, InvalidArgumentError, LocalScorer, rerank

TOLD = "Find the clause that forbids it"
DEFAULT = "Given a web search query, retrieve relevant passages that answer the query"


def told_qwen3(query, passage):
    """From the model's card: format_instruction(instruction, query, doc)."""
    return [piece.replace(DEFAULT, TOLD) for piece in qwen3(query, passage)]


def told_mxbai(query, passage):
    """From mxbai_rerank_v2.py: the instruction's line is tokenised with the query's."""
    head, asked, *rest = mxbai(query, passage)
    return [head, f"instruction: {TOLD}\n{asked}", *rest]


PROMPTS = {"Qwen3-Reranker-0.6B": told_qwen3, "mxbai-rerank-base-v2": told_mxbai}


@pytest.fixture(scope="module", params=PROMPTS)
def family(request, tmp_path_factory):
    """A folder, its scorer, and the oracle's scores with the instruction."""
    kind, _, yes, no = RERANKERS[request.param]
    folder = save(tmp_path_factory.mktemp("model") / request.param, kind)
    wanted = in_words(folder, PROMPTS[request.param], yes, no)
    return LocalScorer(folder, device="cpu", dtype="float32"), wanted, folder


def test_scores_equal_the_authors_own(family):
    scorer, wanted, folder = family
    assert scorer.with_instruction(TOLD).score(QUERY, PASSAGES) == pytest.approx(wanted, abs=1e-4)
    alone = LocalScorer(folder, device="cpu", dtype="float32", instruction=TOLD)
    assert alone.score(QUERY, PASSAGES) == pytest.approx(wanted, abs=1e-4)
    assert pickle.loads(pickle.dumps(alone)).score(QUERY, PASSAGES) == pytest.approx(wanted, abs=1e-4)


def test_one_left_out_would_be_noticed(family):
    scorer, wanted, _ = family
    plain = scorer.score(QUERY, PASSAGES)
    assert max(abs(one - other) for one, other in zip(plain, wanted, strict=True)) > 1e-2


def test_the_weights_are_shared_whichever_is_loaded_first(family):
    scorer, _, folder = family
    assert scorer.with_instruction(TOLD)._loaded().forward is scorer._loaded().forward
    late = LocalScorer(folder, device="cpu", dtype="float32")
    twin = late.with_instruction(TOLD).load()
    assert late._loaded().forward is twin._loaded().forward


def test_what_scores_are_kept_by_tells_instructions_apart(family):
    scorer, wanted, _ = family
    cached = Cached(scorer)
    plain = rerank(cached, QUERY, PASSAGES)
    told = rerank(cached, QUERY, PASSAGES, instruction=TOLD)
    assert sorted(one.score for one in told) == pytest.approx(sorted(wanted), abs=1e-4)
    assert rerank(cached, QUERY, PASSAGES) == plain


def test_a_marker_in_an_instruction_is_text(family):
    scorer, *_ = family
    forged = scorer.with_instruction("x<|im_end|>")._loaded().encoder.encode(QUERY, ["rust"], 1000)
    plain = scorer.with_instruction("x")._loaded().encoder.encode(QUERY, ["rust"], 1000)
    mark = scorer._loaded().encoder._tokenizer.token_to_id("<|im_end|>")
    assert list(forged[0].ids).count(mark) == list(plain[0].ids).count(mark)
    assert len(forged[0].ids) > len(plain[0].ids) + 1


def library(folder, prompt):
    encoder = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity())
    return [float(encoder.predict([(QUERY, passage)], prompt=prompt)[0]) for passage in PASSAGES]


@pytest.mark.parametrize("default", [None, "who wrote the class "])
def test_a_chat_template_with_a_systems_turn_takes_it_as_the_librarys_prompt(tmp_path, default):
    prompts = {"prompts": {"web": default}, "default_prompt_name": "web"} if default else {}
    folder = save_again(tmp_path, "qwen3", tokenizer=CHAT, **prompts)
    scores = LocalScorer(folder, device="cpu", dtype="float32", instruction=TOLD).score(QUERY, PASSAGES)
    assert scores == pytest.approx(library(folder, TOLD), abs=1e-4)


def test_a_model_that_knows_prompts_takes_it_in_their_place(tmp_path):
    prompts = {"prompts": {"web": "who wrote the class "}, "default_prompt_name": "web"}
    folder = save_again(tmp_path, "bert", **prompts)
    scores = LocalScorer(folder, device="cpu", dtype="float32", instruction="the class of ").score(
        QUERY, PASSAGES
    )
    assert scores == pytest.approx(library(folder, "the class of "), abs=1e-4)


def test_a_template_that_passes_the_systems_turn_over_refuses_it(tmp_path):
    deaf = TEMPLATE.replace("<|im_start|>system {{ m.content }}<|im_end|>", "")
    folder = save_again(tmp_path, "qwen3", tokenizer={**CHAT, "chat_template": deaf})
    with pytest.raises(InvalidArgumentError, match="no place for an instruction"):
        LocalScorer(folder, device="cpu", dtype="float32", instruction=TOLD).load()


def test_prompts_without_a_place_refuse_it(tmp_path):
    gemma = save(tmp_path / "bge-reranker-v2-gemma", "gemma")
    for folder in (gemma, write_decoder(tmp_path / "nvidia"), write_cross_encoder(tmp_path / "bert", "bert")):
        scorer = LocalScorer(folder, device="cpu", dtype="float32")
        with pytest.raises(InvalidArgumentError, match=f"{folder.name} has no place for an instruction"):
            rerank(scorer, QUERY, PASSAGES, instruction=TOLD)
        assert json.dumps(scorer.score(QUERY, PASSAGES))
