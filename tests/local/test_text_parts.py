"""Models that also see score texts as transformers' own whole models do, without what images need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support.images import png
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

from nvrerank import LocalScorer, ModelLoadError, Passage, RequestRejectedError

QUERY = "who wrote the book?"
TEXTS = [
    "the book of the dead sea scrolls",
    "rust",
    "  a class is [1] iterable < when it\ndefines __iter__ " * 3,
]
MARKED = [*TEXTS, "[IMG] <|im_end|> is text here"]
SIZES = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 1024,
}
MARKS = ["<|im_start|>", "<|im_end|>", "[IMG]", "<pad>"]
JUDGE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
    'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
TASK = "Given a search query, retrieve relevant candidates that answer the query."
QWEN_TEMPLATE = (
    JUDGE
    + "<Instruct>: {% if messages[0].role == 'system' %}{{ messages[0].content[0].text }}{% else %}"
    + TASK
    + "{% endif %}<Query>:{% for m in messages if m.role == 'query' %}{{ m.content[0].text }}{% endfor %}"
    "{{ '\\n' }}<Document>:{% for m in messages if m.role == 'document' %}{{ m.content[0].text }}{% endfor %}"
    "<|im_end|>\n{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NVIDIA_TEMPLATE = """{%- if messages | length != 2 -%}
{{- raise_exception('a query, a document') -}}{%- endif -%}
{%- macro own(content) -%}
{{- content[0].text | replace('[', '[\u200c') | replace('<', '<\u200c') -}}
{%- endmacro -%}
{{- 'query: ' ~ own(messages[0].content) ~ '\\n\\npassage: ' ~ own(messages[1].content) -}}"""


def tokenizer(*, escaped: bool) -> Tokenizer:
    """Byte-level BPE that knows the answers, and drops a sign that NVIDIA's template puts after [ and <."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(["yes", "no"] * 9, trainer)
    made.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS])
    if escaped:
        made.normalizer = normalizers.Sequence([normalizers.Replace(f"{one}\u200c", one) for one in "[<"])
    return made


def write(folder: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def save(folder: Path, model: Any, *, escaped: bool = False) -> Path:
    torch.manual_seed(5)
    for name, weight in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(weight, std=1.2 / weight.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(escaped=escaped), pad_token="<pad>", chat_template="{{ messages }}"
    )
    made.save_pretrained(folder)
    return folder


def qwen(folder: Path, *, tied: bool = True) -> Path:
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_interleaved": True, "mrope_section": [2, 1, 1]}
    eyes = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32}
    eyes |= {"patch_size": 4, "deepstack_visual_indexes": [0], "num_position_embeddings": 16}
    config = transformers.Qwen3VLConfig(
        text_config=SIZES | {"rope_parameters": rope}, vision_config=eyes, tie_word_embeddings=tied
    )
    return save(folder, transformers.Qwen3VLForConditionalGeneration(config))


def as_published(folder: Path, **settings: Any) -> Path:
    """What Qwen's repositories have had beside the weights since sentence-transformers 5.4."""
    forward = {"method": "forward", "method_output_name": "logits"}
    chat = {"chat_template": "reranker", "add_generation_prompt": True}
    place = "sentence_transformers.base.modules.transformer.Transformer"
    head = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
    words = tokenizer(escaped=False)
    answers = {"true_token_id": words.token_to_id("yes"), "false_token_id": words.token_to_id("no")}
    files = {
        "additional_chat_templates/reranker.jinja": QWEN_TEMPLATE,
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": place},
            {"idx": 1, "name": "1", "path": "1_LogitScore", "type": head},
        ],
        "1_LogitScore/config.json": answers,
        "sentence_bert_config.json": {
            "transformer_task": "any-to-any",
            "modality_config": {
                **dict.fromkeys(("text", "image", "video"), forward),
                "message": {**forward, "format": "structured"},
            },
            "module_output_name": "causal_logits",
            "unpad_inputs": False,
            "processing_kwargs": {"chat_template": chat},
        },
        "config_sentence_transformers.json": {
            "activation_fn": "torch.nn.modules.linear.Identity",
            "default_prompt_name": "query",
            "model_type": "CrossEncoder",
            "prompts": {"query": TASK},
            **settings,
        },
    }
    write(folder, files)
    return folder


def judged(folder: Path, task: str = TASK, *, end: str = "<|im_start|>assistant\n") -> list[float]:
    """The oracle, as qwen3_vl_reranker.py has it: yes less no of the whole model's head, in float64."""
    model = transformers.Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float64).eval()
    words = tokenizer(escaped=False)
    rows = model.lm_head.weight[[words.token_to_id("yes"), words.token_to_id("no")]].detach()
    scores = []
    for passage in TEXTS:
        text = f"{JUDGE}<Instruct>: {task}<Query>:{QUERY}\n<Document>:{passage}<|im_end|>\n{end}"
        with torch.no_grad():
            last = model.model(input_ids=torch.tensor([words.encode(text).ids])).last_hidden_state[0, -1]
        scores.append(float((rows[0] - rows[1]) @ last))
    return scores


@pytest.fixture(scope="module")
def qwen_folder(tmp_path_factory):
    return qwen(tmp_path_factory.mktemp("vl") / "Qwen3-VL-Reranker-2B")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return as_published(qwen(tmp_path_factory.mktemp("published") / "mine", tied=False))


@pytest.mark.parametrize("layout", ["qwen_folder", "published"])
def test_qwens_vl_reranker_scores_texts_as_its_whole_model_does(request, layout):
    folder = request.getfixturevalue(layout)
    wanted, scorer = judged(folder), LocalScorer(folder, device="cpu", dtype="float32")
    assert scorer.score(QUERY, TEXTS) == pytest.approx(wanted, abs=1e-4)
    assert [scorer.score(QUERY, [one])[0] for one in TEXTS] == pytest.approx(wanted, abs=1e-4)
    assert wanted != pytest.approx(judged(folder, end=""), abs=1e-2), "the place of the answer matters"
    told = scorer.with_instruction("find code")
    assert told.score(QUERY, TEXTS) == pytest.approx(judged(folder, "find code"), abs=1e-4)
    assert wanted != pytest.approx(judged(folder, "find code"), abs=1e-2)
    with pytest.raises(RequestRejectedError, match="reads texts alone"):
        scorer.score(QUERY, [Passage("a", png())])


def test_another_default_prompt_is_read(tmp_path):
    folder = as_published(qwen(tmp_path), prompts={"query": "find proofs"})
    scores = LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, TEXTS)
    assert scores == pytest.approx(judged(folder, "find proofs"), abs=1e-4)


def nemotron(folder: Path, *, causal: bool = False, head: str = "language_model.score.weight") -> Path:
    """As nemo-automodel's exporter (ministral_bidirectional/reranker_export.py) saves it."""
    rope = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 64.0, "original_max_position_embeddings": 16}
    rope |= {"beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0}
    text = SIZES | {"model_type": "ministral3", "is_causal": causal, "pad_token_id": 303}
    eyes = {"model_type": "pixtral", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    eyes |= {"num_attention_heads": 2, "head_dim": 8, "image_size": 32, "patch_size": 4}
    config = transformers.Mistral3Config(
        text_config=text | {"rope_parameters": rope | {"llama_4_scaling_beta": 0.1}}, vision_config=eyes
    )
    config.architectures = ["Mistral3ForSequenceClassification"]
    config.auto_map = {"AutoModelForSequenceClassification": "model.Mistral3ForSequenceClassification"}
    save(folder, transformers.Mistral3Model(config), escaped=True)
    file = folder / "config.json"
    values = json.loads(file.read_text()) | {
        "architectures": config.architectures,
        "auto_map": config.auto_map,
    }
    torch.manual_seed(6)
    weight = torch.randn(1, 32)
    save_file(load_file(folder / "model.safetensors") | {head: weight}, folder / "model.safetensors")
    (folder / "2_Dense").mkdir()
    save_file({"linear.weight": weight}, folder / "2_Dense" / "model.safetensors")
    forward = {"method": "forward", "method_output_name": "last_hidden_state"}
    kinds = ("base.modules.transformer.Transformer", "sentence_transformer.modules.pooling.Pooling")
    identity = "torch.nn.modules.linear.Identity"
    files = {
        "config.json": values,
        "chat_template.jinja": NVIDIA_TEMPLATE,
        "model.py": "raise SystemExit('the code of a folder ran')",
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": f"sentence_transformers.{kinds[0]}"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"sentence_transformers.{kinds[1]}"},
            {
                "idx": 2,
                "name": "2",
                "path": "2_Dense",
                "type": "sentence_transformers.base.modules.dense.Dense",
            },
        ],
        "config_sentence_transformers.json": {"model_type": "CrossEncoder", "activation_fn": identity},
        "sentence_bert_config.json": {
            "transformer_task": "feature-extraction",
            "module_output_name": "token_embeddings",
            "modality_config": {"text": forward, "message": {**forward, "format": "structured"}},
            "unpad_inputs": False,
            "model_kwargs": {"dtype": "auto", "attn_implementation": "sdpa"},
        },
        "1_Pooling/config.json": {
            "embedding_dimension": 32,
            "pooling_mode": "mean",
            "include_prompt": True,
        },
        "2_Dense/config.json": {
            "in_features": 32,
            "out_features": 1,
            "bias": False,
            "activation_function": identity,
            "module_input_name": "sentence_embedding",
            "module_output_name": "scores",
        },
    }
    write(folder, files)
    return folder


def pooled(folder: Path, *, causal: bool = False, escape: str = "\u200c") -> list[float]:
    """The oracle, as the exporter's model.py has it: the whole model, mean, head, in float64."""
    model = transformers.Mistral3Model.from_pretrained(folder, dtype=torch.float64).eval()
    model.language_model.config.is_causal = causal  # of the mask, and of each layer where there is none
    for layer in model.language_model.layers:
        layer.self_attn.is_causal = causal
    head = load_file(folder / "2_Dense" / "model.safetensors")["linear.weight"].double()
    words = tokenizer(escaped=True)
    scores = []
    for passage in MARKED:
        text = f"query: {QUERY}\n\npassage: " + passage.replace("[", f"[{escape}").replace("<", f"<{escape}")
        ids = torch.tensor([words.encode(text, add_special_tokens=False).ids])
        with torch.no_grad():
            hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        scores.append(float((head[0] @ hidden.mean(0)).detach()))
    return scores


@pytest.mark.parametrize("head", ["language_model.score.weight", "score.weight"])
def test_nemotron_3_5_scores_texts_as_its_whole_model_does(tmp_path, head):
    folder = nemotron(tmp_path, head=head)
    wanted, scorer = pooled(folder), LocalScorer(folder, device="cpu", dtype="float32")
    assert scorer.score(QUERY, MARKED) == pytest.approx(wanted, abs=1e-4)
    assert [scorer.score(QUERY, [one])[0] for one in MARKED] == pytest.approx(wanted, abs=1e-4)
    assert wanted != pytest.approx(pooled(folder, causal=True), abs=1e-2)
    assert wanted != pytest.approx(pooled(folder, escape=""), abs=1e-3), "a mark in a passage is text"


def test_nemotron_3_5_that_is_causal_says_so_in_config_json(tmp_path):
    folder = nemotron(tmp_path, causal=True)
    scores = LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, MARKED)
    assert scores == pytest.approx(pooled(folder, causal=True), abs=1e-4)


def test_heads_compute_in_float32(published, tmp_path):
    many = [f"sea {number}" for number in range(60)]
    for folder in (published, nemotron(tmp_path)):
        assert len(set(LocalScorer(folder, device="cpu", dtype="bfloat16").score(QUERY, many))) == 60


def test_a_tokenizer_that_keeps_the_templates_own_sign_is_refused(tmp_path):
    folder = nemotron(tmp_path)
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"normalizer": None}))
    with pytest.raises(ModelLoadError, match="tokenises the folder's pairs otherwise"):
        LocalScorer(folder, device="cpu", dtype="float32").load()


@pytest.mark.parametrize("make", [qwen, nemotron])
def test_what_says_nowhere_how_it_is_asked_is_refused_with_what_serves_it(tmp_path, make):
    folder = make(tmp_path)
    for file in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        (folder / file).unlink(missing_ok=True)
    with pytest.raises(ModelLoadError, match=r"no class of transformers for .*a NIM or vLLM may serve it"):
        LocalScorer(folder, device="cpu", dtype="float32").load()


@pytest.mark.parametrize("make", [as_published, None])
def test_a_missing_tensor_is_refused(tmp_path, make):
    folder = as_published(qwen(tmp_path)) if make else nemotron(tmp_path)
    file = folder / "model.safetensors"
    held = load_file(file)
    name = next(one for one in held if one.endswith("layers.1.mlp.up_proj.weight") and "language" in one)
    del held[name]
    save_file(held, file)
    with pytest.raises(ModelLoadError, match="missing_keys"):
        LocalScorer(folder, device="cpu", dtype="float32").load()
