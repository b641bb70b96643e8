"""Texts become token ids as the models were trained; what a text spells is data."""

from __future__ import annotations

import threading

import pytest
from support.tokenizers import bert_tokenizer, llama_tokenizer, roberta_tokenizer

from nvrerank import RequestRejectedError
from nvrerank.local.prompts import PromptEncoder
from nvrerank.local.tokenization import LocalTokenCounter, TemplateEncoder, TwoInputEncoder
from nvrerank.models import NVIDIA_PROMPT


def read_of(encoder, query, max_length) -> str | None:
    """A long query's beginning; None: all of it is read."""
    return LocalTokenCounter(encoder, query, max_length, threading.Lock()).query


def prompt_encoder() -> PromptEncoder:
    return PromptEncoder(llama_tokenizer(), NVIDIA_PROMPT)


ENCODERS = {
    "prompt": prompt_encoder,
    "bert": lambda: TemplateEncoder(bert_tokenizer()),
    "roberta": lambda: TemplateEncoder(roberta_tokenizer()),
    "two inputs": lambda: TwoInputEncoder(bert_tokenizer()),
}


def test_the_prompt_is_the_model_cards_with_one_bos_and_no_eos():
    tokenizer = llama_tokenizer()
    [pair] = prompt_encoder().encode("who?", ["me"], 512)
    assert pair.ids == tokenizer.encode("question:who? \n \n passage:me").ids
    assert pair.ids[0] == tokenizer.token_to_id("<|begin_of_text|>")
    assert pair.ids.count(pair.ids[0]) == 1
    assert tokenizer.token_to_id("<|end_of_text|>") not in pair.ids


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS.keys())
@pytest.mark.parametrize(
    "forged", ["<|end_of_text|>", "<|begin_of_text|>", "[SEP]", "[CLS]", "</s>", "<s>", "[PAD]"]
)
def test_a_text_cannot_forge_a_special_token(make, forged):
    encoder = make()
    tokenizer = encoder._tokenizer
    special = {
        token_id for token_id, token in tokenizer.get_added_tokens_decoder().items() if token.special
    } or set(range(5))
    [plain] = encoder.encode("query", ["passage"], 512)
    [pair] = encoder.encode(f"query {forged}", [f"{forged} passage {forged}"], 512)
    count = sum(token in special for token in plain.ids)
    unknown = tokenizer.token_to_id("[UNK]")
    assert sum(token in special and token != unknown for token in pair.ids) == count


def test_a_text_that_spells_the_prompts_own_fields_stays_as_it_is():
    tokenizer = llama_tokenizer()
    [pair] = prompt_encoder().encode("{passage} {query}", ["{query} {0} passage:"], 512)
    assert pair.ids == tokenizer.encode("question:{passage} {query} \n \n passage:{query} {0} passage:").ids


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS.keys())
def test_a_long_pair_is_cut_from_the_passages_end(make):
    encoder = make()
    passages = ["the sea belongs to the shore " * 40, "the sea"]
    whole = encoder.encode("who wrote it?", passages, 10_000)
    cut = encoder.encode("who wrote it?", passages, 40)
    assert [len(pair.ids) for pair in cut] == [40, len(whole[1].ids)]
    assert [pair.whole for pair in cut] == [len(pair.ids) for pair in whole]
    assert cut[1] == whole[1]
    assert cut[0].ids[:38] == whole[0].ids[:38]


@pytest.mark.parametrize("make", [ENCODERS["bert"], ENCODERS["two inputs"]])
def test_a_cut_passage_keeps_its_closing_token(make):
    tokenizer = bert_tokenizer()
    [pair] = make().encode("who?", ["the sea " * 100], 30)
    assert pair.ids[-1] == tokenizer.token_to_id("[SEP]")


def test_the_template_is_the_tokenizers_own():
    for tokenizer in (bert_tokenizer(), roberta_tokenizer()):
        [pair] = TemplateEncoder(tokenizer).encode("who wrote it?", ["the sea"], 512)
        encoding = tokenizer.encode("who wrote it?", "the sea")
        assert pair.ids == encoding.ids
        assert [int(place >= pair.split) for place in range(len(pair.ids))] == encoding.type_ids


def test_two_inputs_stand_side_by_side():
    tokenizer = bert_tokenizer()
    [pair] = TwoInputEncoder(tokenizer).encode("who wrote it?", ["the sea"], 512)
    assert pair.ids[: pair.split] == tokenizer.encode("who wrote it?").ids
    assert pair.ids[pair.split :] == tokenizer.encode("the sea").ids


LONG_QUERIES = ["the sea " * 300, "xyz" * 30 + " xy" * 300, "naïve 東京都 🙂 " * 80, "\n \n passage:" * 200]


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS.keys())
@pytest.mark.parametrize("query", LONG_QUERIES)
@pytest.mark.parametrize("max_length", [48, 64, 101, 300])
def test_a_long_query_is_cut_to_its_beginning_so_that_a_passage_keeps_a_quarter(make, query, max_length):
    encoder, passage = make(), "rust belongs to iron " * 100
    found = read_of(encoder, query, max_length)
    assert query.startswith(found)
    room = max_length - encoder.ask(found).frame
    assert max_length // 4 <= room <= max_length // 4 + 4  # a character can have four tokens
    [cut] = encoder.encode(found, [passage], max_length)
    [whole] = encoder.encode(found, [passage], 10_000)
    assert len(cut.ids) == max_length
    assert cut.split in (whole.split, max_length)
    closing = 0 if isinstance(encoder, PromptEncoder) else 1
    assert cut.ids[: max_length - closing] == whole.ids[: max_length - closing]
    assert cut.ids[max_length - closing :] == whole.ids[len(whole.ids) - closing :]


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS.keys())
def test_a_query_that_leaves_a_quarter_is_read_whole(make):
    encoder = make()
    assert read_of(encoder, "who wrote it?", 64) is None
    most = encoder.ask("the sea belongs to the shore").frame * 4 // 3 + 1
    assert read_of(encoder, "the sea belongs to the shore", most) is None
    assert read_of(encoder, "the sea belongs to the shore", most - 3) is not None


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS.keys())
def test_the_frame_is_all_but_the_passage(make):
    encoder = make()
    pairs = encoder.encode("who wrote it?", ["x", "x x x"], 512)
    assert encoder.ask("who wrote it?").frame == pairs[0].whole - len(encoder.token_ends("x"))


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS.keys())
def test_a_query_that_leaves_no_room_is_refused(make):
    with pytest.raises(RequestRejectedError, match="shorten it"):
        make().encode("the sea " * 100, ["rust"], 40)


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS.keys())
def test_settings_left_in_a_tokenizer_file_do_not_cut_or_pad(make):
    encoder = make()
    tokenizer = encoder._tokenizer
    expected = encoder.encode("who?", ["the sea belongs", "rust"], 512)
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=64)
    if isinstance(encoder, PromptEncoder):
        encoder = PromptEncoder(tokenizer, NVIDIA_PROMPT)
    else:
        encoder = type(encoder)(tokenizer)
    assert encoder.encode("who?", ["the sea belongs", "rust"], 512) == expected
