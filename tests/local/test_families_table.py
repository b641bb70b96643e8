"""Each row of docs/local-models.md, and each model that people load, has a test that is still there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

DOCS = (Path(__file__).parents[2] / "docs" / "local-models.md").read_text(encoding="utf-8")
LIBRARY = "test_reference_families::test_batched_and_alone_scores_are_the_librarys"
NVIDIA = "test_nvidia_families::test_scores_equal_a_float64_reference_of_one_pair_at_a_time"
OWN = "test_cross_encoders::test_scores_equal_transformers_own"
WORDS = "test_yes_no_rerankers::test_scores_equal_the_authors_own"
SAVED = "test_yes_no_rerankers::test_saved_as_a_cross_encoder_they_are_asked_as_their_folders_say"
REFUSED = "test_refused_families::test_what_is_refused_says_why_and_the_documentation_names_it"
SCORED = {
    "llama-nemotron-rerank-1b-v2, llama-3.2-nv-rerankqa-1b-v2": [
        f"{NVIDIA}[llama]",
        f"{NVIDIA}[llama, sharded]",
    ],
    "nv-rerankqa-mistral-4b-v3": [f"{NVIDIA}[mistral]", f"{NVIDIA}[mistral, two labels]"],
    "ms-marco-MiniLM, bce-reranker, TinyBERT": [f"{OWN}[bert]", f"{LIBRARY}[bert]"],
    "bge-reranker-base, -large, -v2-m3": [f"{OWN}[xlm-roberta]", f"{LIBRARY}[roberta]"],
    "gte-reranker-modernbert, granite-embedding-reranker": [f"{OWN}[modernbert]", f"{LIBRARY}[modernbert]"],
    "mxbai-rerank v1": [f"{LIBRARY}[deberta-v2]", f"{LIBRARY}[deberta]"],
    "Ettin rerankers": ["test_saved_models::test_a_head_in_folders_of_its_own_is_computed[cls]"],
    "Qwen3-Reranker 0.6B, 4B, 8B": [f"{WORDS}[Qwen3-Reranker-0.6B]"],
    "mxbai-rerank-v2": [f"{WORDS}[mxbai-rerank-base-v2]"],
    "bge-reranker-v2-gemma": [f"{WORDS}[bge-reranker-v2-gemma]"],
    "zerank-2, ctxl-rerank-v2, Qwen3-Reranker saved as a CrossEncoder": [
        f"{SAVED}[zerank-2]",
        f"{SAVED}[ctxl-rerank-v2]",
        f"{SAVED}[Qwen3-Reranker]",
    ],
    "jina-reranker-v3 (CC BY-NC: no commercial use without Jina's licence)": [
        "test_listwise::test_a_lists_scores_equal_the_authors_own"
    ],
    "llama-nemotron-rerank-vl-1b-v2, texts": [
        "test_nvidia_families::test_the_vl_reranker_reads_texts_as_the_llama_within_it"
    ],
    "Nemotron-3.5-Rerank-8B, texts": [
        "test_text_parts::test_nemotron_3_5_scores_texts_as_its_whole_model_does[score.weight]"
    ],
    "Qwen3-VL-Reranker 2B, 8B, texts": [
        "test_text_parts::test_qwens_vl_reranker_scores_texts_as_its_whole_model_does[qwen_folder]",
        "test_text_parts::test_qwens_vl_reranker_scores_texts_as_its_whole_model_does[published]",
    ],
    "Qwen3-Reranker, mxbai-rerank-v2, bge-reranker-v2-gemma as conversions to one label": [
        f"test_yes_no_rerankers::test_a_conversion_to_one_label_is_asked_with_the_same_words[{name}]"
        for name in ("Qwen3-Reranker-0.6B", "mxbai-rerank-base-v2", "bge-reranker-v2-gemma")
    ],
    "RankLLaMA and other causal classifiers": [
        f"{LIBRARY}[{kind}]" for kind in ("llama", "mistral", "gemma2", "gemma3_text", "phi3", "gpt2")
    ],
    "other encoders": [
        f"{LIBRARY}[{kind}]"
        for kind in (
            *(
                "albert",
                "big_bird",
                "camembert",
                "convbert",
                "data2vec-text",
                "distilbert",
                "electra",
                "ernie",
            ),
            *("funnel", "longformer", "mobilebert", "mpnet", "rembert", "xlm", "xlm-roberta-xl", "xlnet"),
        )
    ],
}
UNKNOWN = "test_text_parts::test_what_says_nowhere_how_it_is_asked_is_refused_with_what_serves_it"
BY_CODE = (
    "jina-reranker-v2",
    "gte-multilingual-reranker",
    "bge-reranker-v2-minicpm",
    "-v2.5-gemma2-lightweight",
)
NOT_SCORED = {
    "jina-reranker-v3.5": ["test_listwise::test_another_version_is_refused_with_the_reason"],
    "jina-reranker-v2; gte-multilingual-reranker; bge-reranker-v2-minicpm, -v2.5-gemma2-lightweight": [
        f"{REFUSED}[{name}]" for name in BY_CODE
    ],
    "Qwen3-VL-Reranker, Nemotron-3.5-Rerank (`mistral3`) under another name and without `modules.json`": [
        UNKNOWN,
        f"{REFUSED}[Nemotron-3.5-Rerank]",
        f"{REFUSED}[Qwen3-VL-Reranker]",
    ],
    "images, whatever model reads them": [
        "test_nvidia_families::test_the_vl_reranker_reads_texts_as_the_llama_within_it"
    ],
    "embedding models, language models by themselves, such as ctxl-rerank-v2 as first published": [
        "test_saved_models::test_an_embedding_model_is_no_reranker",
        f"{REFUSED}[language models by themselves]",
        f"{REFUSED}[ctxl-rerank-v2]",
    ],
    "LoRA adapters, GGUF, ONNX, quantised weights": [
        "test_saved_models::test_an_adapter_is_refused_with_what_to_do",
        "test_saved_models::test_an_export_for_another_program_is_refused_with_what_to_do",
        "test_saved_models::test_a_setting_that_is_not_known_or_broken_is_refused_by_file",
    ],
    "weights as pickle (`pytorch_model.bin`)": [
        "test_saved_models::test_a_pickle_in_a_modules_folder_is_never_opened"
    ],
    "a chat template that does more than to put the two texts in their places": [
        "test_saved_models::test_a_template_that_changes_a_text_is_refused"
    ],
}
LOADED = (  # what people load, November 2026
    *("ms-marco-MiniLM", "bge-reranker-base", "-v2-m3", "Qwen3-Reranker", "llama-nemotron-rerank-1b-v2"),
    *(
        "jina-reranker-v3",
        "jina-reranker-v3.5",
        "llama-nemotron-rerank-vl-1b-v2",
        "zerank-2",
        "ctxl-rerank-v2",
    ),
    *("mxbai-rerank-v2", "mxbai-rerank v1", "gte-reranker-modernbert", "granite-embedding-reranker", "Ettin"),
    *("bge-reranker-v2-gemma", "jina-reranker-v2", "gte-multilingual-reranker", "Nemotron-3.5-Rerank-8B"),
    *(
        "RankLLaMA",
        "as conversions to one label",
        "Qwen3-VL-Reranker",
        "bge-reranker-v2-minicpm",
        "bce-reranker",
    ),
)


def rows(heading: str) -> list[str]:
    """First cells of the table under a heading."""
    section = DOCS.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| (.+?) \|", section, re.MULTILINE)[1:]


def cases(module: str, test: str) -> set[str]:
    """The parameters by whose names a test runs."""
    marks = getattr(getattr(import_module(f"local.{module}"), test), "pytestmark", [])
    return {str(one) for mark in marks if mark.name == "parametrize" for one in mark.args[1]}


@pytest.mark.parametrize(
    ("heading", "held"),
    [("Families", SCORED), ("What is refused, and why", NOT_SCORED)],
    ids=["scored", "refused"],
)
def test_each_row_names_a_test_that_is_there(heading, held):
    assert rows(heading) == list(held)
    for tests in held.values():
        assert tests
        for name in tests:
            module, test, case = re.fullmatch(r"(\w+)::(test_\w+)(?:\[(.+)\])?", name).groups()
            assert case is None or case in cases(module, test), name
            assert cases(module, test) is not None


@pytest.mark.parametrize("name", LOADED)
def test_a_model_that_people_load_is_in_a_row(name):
    assert any(name in row for row in (*SCORED, *NOT_SCORED))
