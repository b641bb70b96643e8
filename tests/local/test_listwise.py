"""jina-reranker-v3 scores a list as its authors' code does, and whatever keeps or cuts scores knows it."""

from __future__ import annotations

import asyncio
import json
import re
import warnings

import pytest
import torch
import transformers
from local.test_yes_no_rerankers import tokenizer
from safetensors.torch import load_file, save_file
from support.families import tiny_model
from support.processor import WITH_INT8
from tokenizers import Tokenizer

from nvrerank import Cached, LocalScorer, ModelLoadError, Windowed, rerank

QUERY = "who wrote the book of 12?"
PASSAGES = ["the book of the dead sea scrolls", "rust", "\na class is iterable\n", "1,000 waves. " * 5]
MARKS = ["<|im_start|>", "<|im_end|>", "<think>", "</think>", "<|embed_token|>", "<|rerank_token|>"]
SYSTEM = (
    "You are a search relevance expert who can determine a ranking of the passages based on how relevant "
    "they are to the query. If the query is a question, how relevant a passage is depends on how well it "
    "answers the question. If not, try to analyze the intent of the query and assess how well each passage "
    "satisfies the intent. If an instruction is provided, you should follow the instruction when determining "
    "the ranking."
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("model") / "jina-reranker-v3"
    model = tiny_model("qwen3", auto=transformers.AutoModelForCausalLM, max_position_embeddings=20_000)
    model.save_pretrained(place)
    tensors = load_file(place / "model.safetensors")
    torch.manual_seed(5)
    tensors |= {"projector.0.weight": torch.randn(16, 32), "projector.2.weight": torch.randn(8, 16)}
    save_file(tensors, place / "model.safetensors")
    file = place / "config.json"
    changes = {
        "architectures": ["JinaForRanking"],
        "auto_map": {"AutoModel": "modeling.JinaForRanking"},
        "embedding_size": 8,
    }
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer(MARKS), model_max_length=20_000)
    made.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def scorer(folder):
    return LocalScorer(folder, device="cpu", dtype="float32")


def authors(folder, passages, *, instruction=None, size=125) -> list[float]:
    """The oracle: modeling.py's prompt, blocks and merged query, in float64."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float64).eval()
    tensors = load_file(folder / "model.safetensors")
    first, second = (tensors[f"projector.{place}.weight"].double() for place in (0, 2))
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found, queries, weights = [], [], []
    for start in range(0, len(passages), size):
        block = passages[start : start + size]
        listed = "\n".join(
            f'<passage id="{place}">\n{text}<|embed_token|>\n</passage>' for place, text in enumerate(block)
        )
        told = f"<instruct>\n{instruction}\n</instruct>\n" if instruction else ""
        prompt = (
            f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
            f"I will provide you with {len(block)} passages, each indicated by a numerical identifier. "
            f"Rank the passages based on their relevance to query: {QUERY}\n{told}{listed}\n"
            f"<query>\n{QUERY}<|rerank_token|>\n</query><|im_end|>\n<|im_start|>assistant\n"
            "<think>\n\n</think>\n\n"
        )
        ids = torch.tensor([made.encode(prompt).ids])
        with torch.no_grad():
            hidden = model(input_ids=ids).last_hidden_state[0]
        embedded = torch.relu(hidden @ first.T) @ second.T
        own = embedded[ids[0] == made.token_to_id("<|embed_token|>")]
        query = embedded[ids[0] == made.token_to_id("<|rerank_token|>")]
        found.append(own)
        queries.append(query[0])
        weights.append(((1 + torch.cosine_similarity(own, query)) / 2).max())
    weight = torch.stack(weights)[:, None]
    merged = (torch.stack(queries) * weight).sum(0) / weight.sum()
    return torch.cosine_similarity(torch.cat(found), merged[None]).tolist()


def test_a_lists_scores_equal_the_authors_own(folder, scorer):
    wanted = authors(folder, PASSAGES)
    assert scorer.score(QUERY, PASSAGES) == pytest.approx(wanted, abs=1e-4)
    assert asyncio.run(scorer.ascore(QUERY, PASSAGES)) == pytest.approx(wanted, abs=1e-4)
    assert scorer.score_many([(QUERY, PASSAGES), (QUERY, [])]) == [pytest.approx(wanted, abs=1e-4), []]
    assert max(wanted) - min(wanted) > 0.01, "scores this close would agree by chance"


def test_an_instruction_stands_where_the_authors_put_it(folder, scorer):
    told = scorer.with_instruction("Find proofs.").score(QUERY, PASSAGES)
    assert told == pytest.approx(authors(folder, PASSAGES, instruction="Find proofs."), abs=1e-4)
    assert told != pytest.approx(scorer.score(QUERY, PASSAGES), abs=1e-3)


def test_a_score_depends_on_the_list_and_that_is_said(scorer):
    alone = [scorer.score(QUERY, [passage])[0] for passage in PASSAGES]
    assert alone != pytest.approx(scorer.score(QUERY, PASSAGES), abs=1e-4)
    assert scorer.listwise
    assert not scorer.calibrated
    assert LocalScorer("jinaai/jina-reranker-v3").listwise
    assert not LocalScorer("jinaai/jina-reranker-v2-base-multilingual").listwise
    with pytest.raises(TypeError, match="depends on the other passages"):
        Cached(scorer)


def test_long_lists_are_read_in_blocks_that_share_their_query(folder, scorer):
    many = [f"wave {number}" for number in range(130)]
    wanted = authors(folder, many)
    assert scorer.score(QUERY, many) == pytest.approx(wanted, abs=1e-4)
    assert wanted != pytest.approx(authors(folder, many, size=65), abs=1e-5), "blocks would not be noticed"


def test_passages_are_cut_and_that_is_said(folder):
    scorer = LocalScorer(folder, device="cpu", dtype="float32", long_passages="truncate")
    long = ["z" * 2500, "rust"]
    scored = scorer.score_detailed(QUERY, long)
    assert [one.truncated for one in scored] == [True, False]
    assert [one.logit for one in scored] == pytest.approx(authors(folder, ["z" * 2048, "rust"]), abs=1e-4)
    whole = Windowed(scorer).score_detailed(QUERY, long)
    assert whole[0].window is not None
    assert not whole[0].truncated


def test_a_long_query_is_cut_to_512_tokens(folder):
    scorer = LocalScorer(folder, device="cpu", dtype="float32", long_passages="truncate")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        scores = scorer.score("z" * 600, ["rust", "sea"])
    assert scores == pytest.approx(scorer.score("z" * 512, ["rust", "sea"]), abs=1e-6)
    assert any("query" in str(one.message) for one in warned)


def test_ranking_sends_the_whole_list_without_blanks_and_duplicates(folder, scorer):
    ranking = rerank(scorer, QUERY, [*PASSAGES, " ", PASSAGES[0]])
    wanted = authors(folder, PASSAGES)
    assert ranking[0].score == pytest.approx(max(wanted), abs=1e-4)
    twice = [one.score for one in ranking if one.index in (0, 5)]
    assert twice == pytest.approx([wanted[0]] * 2, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"use_sliding_window": True}, "attention within a window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "attention within a window"),
    ],
)
def test_another_version_is_refused_with_the_reason(folder, tmp_path, change, reason):
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = tmp_path / "config.json"
    values = json.loads(config.read_text())
    config.unlink()
    config.write_text(json.dumps({**values, **change}))
    with pytest.raises(ModelLoadError, match=re.escape(reason)):
        LocalScorer(tmp_path, device="cpu").load()


@pytest.mark.parametrize(
    "options", [{"max_length": 512}, pytest.param({"quantize": "int8"}, marks=WITH_INT8)]
)
def test_settings_that_mean_something_else_here_are_refused(folder, options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scorer = LocalScorer(folder, device="cpu", dtype="float32", **options)
        with pytest.raises(ModelLoadError, match="leave quantize and max_length out"):
            scorer.load()
