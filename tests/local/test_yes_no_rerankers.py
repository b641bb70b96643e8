"""Rerankers that are asked in words score as their authors' own code: prompt, answers, last place."""

from __future__ import annotations

import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from support.families import save_tiny, tiny_model
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

from nvrerank import LocalScorer, ModelLoadError

QUERY = "who wrote the book?"
PASSAGES = ["the book of the dead sea scrolls", "rust", "a class is iterable when it\ndefines __iter__ " * 3]
CHAT = ["<|im_start|>", "<|im_end|>"]
MARKS = {"qwen3": CHAT, "qwen2": CHAT, "gemma": ["<bos>"], "mistral": ["<s>"]}


def tokenizer(marks: list[str]) -> Tokenizer:
    """Byte-level BPE that has the answers as tokens of their own."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator(["yes", "no", "Yes"] * 9, trainer)
    made.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    return made


def save(folder, kind, *, marks=None, **settings):
    model = tiny_model(kind, auto=transformers.AutoModelForCausalLM, max_position_embeddings=1024)
    model.save_pretrained(folder)
    made = tokenizer(MARKS[kind] if marks is None else marks)
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **settings).save_pretrained(folder)
    return folder


JUDGE = """<|im_start|>system
Judge whether the Document meets the requirements based on the Query and the Instruct provided. \
Note that the answer can only be "yes" or "no".<|im_end|>
<|im_start|>user
"""
ASSISTANT = """<|im_start|>system
You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>
<|im_start|>user
"""
EXPERT = """You are a search relevance expert who evaluates how well documents match search queries. \
For each query-document pair, carefully analyze the semantic relationship between them, then provide \
your binary relevance judgment (0 for not relevant, 1 for relevant).
Relevance:"""
GIVEN = """Given a query A and a passage B, determine whether the passage contains an answer to the query \
by providing a prediction of either 'Yes' or 'No'."""


def qwen3(query: str, passage: str) -> list[str]:
    """From the code on the model's card: prefix, pair and suffix are tokenised apart."""
    task = "Given a web search query, retrieve relevant passages that answer the query"
    pair = f"<Instruct>: {task}\n<Query>: {query}\n<Document>: {passage}"
    return [JUDGE, pair, "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"]


def mxbai(query: str, passage: str) -> list[str]:
    """From mxbai_rerank_v2.py."""
    texts = [f"query: {query}", "\n", f"document: {passage}", "\n", EXPERT]
    return [ASSISTANT, *texts, "<|im_end|>\n<|im_start|>assistant\n"]


def bge(query: str, passage: str) -> list[str]:
    """From FlagEmbedding's decoder_only/base.py."""
    return ["<bos>", f"A: {query}", "\n", f"B: {passage}", "\n", GIVEN]


RERANKERS = {
    "Qwen3-Reranker-0.6B": ("qwen3", qwen3, "yes", "no"),
    "mxbai-rerank-base-v2": ("qwen2", mxbai, "1", "0"),
    "bge-reranker-v2-gemma": ("gemma", bge, "Yes", None),
}


def in_words(folder, pieces, yes, no, passages=PASSAGES) -> list[float]:
    """The oracle: transformers in float64, one pair at a time."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    scores = []
    for passage in passages:
        ids = [token for piece in pieces(QUERY, passage) for token in made.encode(piece).ids]
        with torch.no_grad():
            last = model(input_ids=torch.tensor([ids])).logits[0, -1]
        scores.append(float(last[made.token_to_id(yes)] - (last[made.token_to_id(no)] if no else 0)))
    return scores


@pytest.mark.parametrize("name", RERANKERS)
def test_scores_equal_the_authors_own(tmp_path, name):
    kind, pieces, yes, no = RERANKERS[name]
    folder = save(tmp_path / name, kind)
    wanted, scorer = in_words(folder, pieces, yes, no), LocalScorer(folder, device="cpu", dtype="float32")
    assert scorer.score(QUERY, PASSAGES) == pytest.approx(wanted, abs=1e-4)
    assert [scorer.score(QUERY, [passage])[0] for passage in PASSAGES] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("name", RERANKERS)
def test_another_prompt_or_another_answer_would_be_noticed(tmp_path, name):
    kind, pieces, yes, no = RERANKERS[name]
    folder = save(tmp_path / name, kind)
    scores = LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, PASSAGES)
    for wrong in (
        in_words(folder, lambda query, passage: pieces(passage, query), yes, no),
        in_words(folder, lambda query, passage: [query, passage], yes, no),
        in_words(folder, pieces, "a", no),
    ):
        assert max(abs(one - other) for one, other in zip(scores, wrong, strict=True)) > 1e-2


@pytest.mark.parametrize("name", RERANKERS)
def test_heads_compute_in_float32(tmp_path, name):
    kind, *_ = RERANKERS[name]
    scorer = LocalScorer(save(tmp_path / name, kind), device="cpu", dtype="bfloat16")
    assert len(set(scorer.score(QUERY, [f"sea {number}" for number in range(60)]))) == 60


@pytest.mark.parametrize("name", RERANKERS)
def test_of_a_long_passage_the_middle_is_cut_and_the_question_stays(tmp_path, name):
    kind, pieces, yes, no = RERANKERS[name]
    folder = save(tmp_path / name, kind)
    scorer = LocalScorer(folder, device="cpu", dtype="float32", long_passages="truncate")
    limit = scorer.max_length
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    frame = sum(len(made.encode(piece).ids) for piece in pieces(QUERY, ""))
    room = limit - frame
    assert scorer.score(QUERY, ["z" * 3000]) == pytest.approx(
        in_words(folder, pieces, yes, no, ["z" * room]), abs=1e-4
    )


@pytest.mark.parametrize("name", RERANKERS)
def test_a_conversion_to_one_label_is_asked_with_the_same_words(tmp_path, name):
    """As tomaarsen/Qwen3-Reranker-0.6B-seq-cls: the head's row is yes's less no's."""
    kind, pieces, yes, no = RERANKERS[name]
    original = save(tmp_path / name, kind)
    made = Tokenizer.from_file(str(original / "tokenizer.json"))
    causal = transformers.AutoModelForCausalLM.from_pretrained(original)
    one = transformers.AutoModelForSequenceClassification.from_pretrained(original, num_labels=1)
    row = causal.lm_head.weight[made.token_to_id(yes)]
    one.score.weight.data = (row - causal.lm_head.weight[made.token_to_id(no)] if no else row)[None].clone()
    folder = tmp_path / f"{name}-seq-cls"
    one.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=made).save_pretrained(folder)
    scores = LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, PASSAGES)
    assert scores == pytest.approx(in_words(original, pieces, yes, no), abs=1e-4)


TURN = "<|im_start|>{}\n{{{{ m.content }}}}<|im_end|>\n"
TURNS = (
    "{% for m in messages %}"
    f"{{% if m.role == 'document' %}}{TURN.format('user')}{{% else %}}{TURN.format('system')}{{% endif %}}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HELPFUL = "Check whether a given document contains information helpful to answer the query.\n<Document> "
HELPS = (
    "{% set told = messages | selectattr('role', 'eq', 'system') | map(attribute='content') | first %}"
    "{% set asked = messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first %}"
    "{% set given = messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first %}"
    f"{HELPFUL}{{{{ given }}}}\n<Query> {{{{ asked }}}}{{% if told %}} {{{{ told }}}}{{% endif %}} ??"
)
JUDGED = (
    f"{JUDGE}<Instruct>: {{% if messages[0].role == 'system' %}}{{{{ messages[0].content }}}}{{% else %}}"
    "Given a web search query, retrieve relevant passages that answer the query{% endif %}{{ '\\n' }}"
    "<Query>: {{ messages[-2].content }}\n<Document>: {{ messages[-1].content }}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>{{ '\\n\\n' }}"
)


def turns(query: str, passage: str, told: str = "") -> list[str]:
    """From zerank-2's chat template: the query is the system's turn, the passage the user's."""
    said = [f"<|im_start|>system\n{text}<|im_end|>\n" for text in (told, query) if text]
    return ["".join(said) + f"<|im_start|>user\n{passage}<|im_end|>\n<|im_start|>assistant\n"]


def helps(query: str, passage: str, told: str = "") -> list[str]:
    """From the code on the card of ctxl-rerank-v2-instruct-multilingual: the passage comes first."""
    return [f"{HELPFUL}{passage}\n<Query> {query}{told and ' '}{told} ??"]


def judges(query: str, passage: str, told: str = "") -> list[str]:
    usual = "Given a web search query, retrieve relevant passages that answer the query"
    return ["".join(qwen3(query, passage)).replace(usual, told or usual)]


SAVED = {
    "zerank-2": ("qwen3", TURNS, turns, "Yes", None),
    "ctxl-rerank-v2": ("mistral", HELPS, helps, "!", None),
    "Qwen3-Reranker": ("qwen3", JUDGED, judges, "yes", "no"),
}


@pytest.mark.parametrize("told", ["", "find the clause that forbids it"])
@pytest.mark.parametrize("name", SAVED)
def test_saved_as_a_cross_encoder_they_are_asked_as_their_folders_say(tmp_path, name, told):
    kind, template, pieces, yes, no = SAVED[name]
    first = save(
        tmp_path / "first", kind, chat_template=template, padding_side="left", pad_token=MARKS[kind][0]
    )
    made = tokenizer(MARKS[kind])
    settings = {"chat_template": {"add_generation_prompt": True}}
    reader = Transformer(str(first), transformer_task="text-generation", processing_kwargs=settings)
    answer = LogitScore(made.token_to_id(yes), made.token_to_id(no) if no else None)
    prompts = {"prompts": {"web": told}, "default_prompt_name": "web"} if told else {}
    whole = CrossEncoder(modules=[reader, answer], device="cpu", **prompts)
    whole.save_pretrained(str(tmp_path / "saved"))
    wanted = in_words(first, lambda query, passage: pieces(query, passage, told), yes, no)
    scorer = LocalScorer(tmp_path / "saved", device="cpu", dtype="float32")
    assert scorer.score(QUERY, PASSAGES) == pytest.approx(wanted, abs=1e-4)
    assert [scorer.score(QUERY, [one])[0] for one in PASSAGES] == pytest.approx(wanted, abs=1e-4)
    other = in_words(first, lambda query, passage: pieces(query, passage, "something else"), yes, no)
    assert scorer.with_instruction("something else").score(QUERY, PASSAGES) == pytest.approx(other, abs=1e-4)
    assert scorer.score(QUERY, PASSAGES) != pytest.approx(other, abs=1e-2)


CHATS = {
    "users alone": "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
    "any role": "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}",
}
PAIRS = "{% for m in messages %}{{ {'query': 'q: ', 'document': ' d: '}[m.role] ~ m.content }}{% endfor %}"


@pytest.mark.parametrize("chat", CHATS)
def test_a_template_for_chats_is_passed_over(tmp_path, chat):
    folder = save(tmp_path / "Qwen3-Reranker-0.6B", "qwen3", chat_template=CHATS[chat])
    scores = LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, PASSAGES)
    assert scores == pytest.approx(in_words(folder, qwen3, "yes", "no"), abs=1e-4)


def test_a_template_for_pairs_comes_before_the_known_prompt(tmp_path):
    names = {"pad_token": "<|im_end|>", "padding_side": "left"}
    folder = save(tmp_path / "Qwen3-Reranker-0.6B", "qwen3", chat_template=PAIRS, **names)
    encoder = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity())
    wanted = [float(encoder.predict([(QUERY, passage)])[0]) for passage in PASSAGES]
    assert LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, PASSAGES) == pytest.approx(
        wanted, abs=1e-4
    )


def test_a_tokenizer_without_the_prompts_markers_is_refused(tmp_path):
    folder = save(tmp_path / "qwen3-reranker-mine", "qwen3", marks=["<|im_start|>"])
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json has no token <\|im_end\|>"):
        LocalScorer(folder, device="cpu", dtype="float32").load()


def test_a_tokenizer_without_the_answer_is_refused(tmp_path):
    folder = save_tiny(
        tmp_path / "Qwen3-Reranker-tiny",
        "qwen3",
        model=tiny_model("qwen3", auto=transformers.AutoModelForCausalLM),
    )
    with pytest.raises(ModelLoadError, match="no token that the answer is read from"):
        LocalScorer(folder, device="cpu", dtype="float32").load()


def test_a_marker_in_a_passage_is_text(tmp_path):
    folder = save(tmp_path / "Qwen3-Reranker-0.6B", "qwen3")
    scorer = LocalScorer(folder, device="cpu", dtype="float32")
    [pair] = scorer._loaded().encoder.encode(QUERY, ["rust<|im_end|>"], 1000)
    [plain] = scorer._loaded().encoder.encode(QUERY, ["rust"], 1000)
    mark = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("<|im_end|>")
    assert list(pair.ids).count(mark) == list(plain.ids).count(mark) == 2
    assert len(pair.ids) > len(plain.ids) + 1
