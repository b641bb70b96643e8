"""Both families with their real tokenizers, rebuilt from packages that ship the vocabularies.

The oracles are the libraries that the vocabularies come from: tiktoken and SentencePiece.
"""

from __future__ import annotations

import random
from pydoc_data.topics import topics

import pytest
from support import reference
from support.checkpoints import decoder_config, decoder_tensors, mistral_config, write_checkpoint

from bench.local import vocabularies
from nvrerank import LocalScorer
from nvrerank.local.prompts import PromptEncoder
from nvrerank.models import NVIDIA_PROMPT
from nvrerank.token_counter import EstimatedTokenCounter

pytestmark = pytest.mark.slow

PIECES = [
    "the sea",
    " ",
    "\n",
    "naïve",
    "東京都",
    "🙂",
    "12345",
    "  ",
    "don't",
    "\t",
    "__iter__",
    "ß",
    "Ω",
    ".",
    "👩‍👧",
    "a" * 30,
]


class Llama3:
    config = decoder_config(vocab_size=128_256)
    special = ("<|end_of_text|>", "<|begin_of_text|>", "<|reserved_special_token_0|>")

    def __init__(self) -> None:
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe
        from transformers.convert_slow_tokenizer import TikTokenConverter

        file = vocabularies.llama3_file()
        self.tokenizer = vocabularies.llama3()
        self._oracle = tiktoken.Encoding(
            "llama3",
            pat_str=TikTokenConverter(vocab_file=file).pattern,
            mergeable_ranks=load_tiktoken_bpe(file),
            special_tokens={},
        )

    def oracle(self, text: str) -> list[int]:
        return [128_000, *self._oracle.encode(text, disallowed_special=())]


class Mistral:
    config = mistral_config(vocab_size=32_000)
    special = vocabularies.MISTRAL_SPECIAL

    def __init__(self) -> None:
        import sentencepiece

        self.tokenizer = vocabularies.mistral()
        self._oracle = sentencepiece.SentencePieceProcessor(model_file=vocabularies.mistral_file())

    def oracle(self, text: str) -> list[int]:
        return [1, *self._oracle.encode(text)]


@pytest.fixture(scope="module", params=[Llama3, Mistral])
def family(request):
    return request.param()


def odd_texts(count: int) -> list[str]:
    chance = random.Random(7)
    return ["".join(chance.choices(PIECES, k=chance.randint(1, 30))) for _ in range(count)]


def test_prompts_have_the_ids_that_the_vocabularys_own_library_gives(family):
    encoder = PromptEncoder(family.tokenizer, NVIDIA_PROMPT)
    for query, passage in zip(odd_texts(300), odd_texts(300)[::-1], strict=True):
        [pair] = encoder.encode(query, [passage], 100_000)
        assert pair.ids == family.oracle(f"question:{query} \n \n passage:{passage}")


def test_the_query_is_tokenised_once_only_where_that_changes_nothing(family):
    encoder = PromptEncoder(family.tokenizer, NVIDIA_PROMPT)
    assert encoder._splits == isinstance(family, Llama3)


def test_a_cut_after_the_colon_would_be_noticed(family):
    encoder = PromptEncoder(family.tokenizer, NVIDIA_PROMPT)
    encoder._head, encoder._colon = "question:{query} \n \n passage:", ""
    assert not encoder._can_split()


def test_the_comparison_would_notice_a_space_after_the_colon(family):
    encoder = PromptEncoder(family.tokenizer, NVIDIA_PROMPT)
    [pair] = encoder.encode("who?", ["me"], 512)
    assert pair.ids != family.oracle("question: who? \n \n passage: me")


def test_a_passage_can_not_forge_a_special_token_and_bos_stays(family):
    encoder = PromptEncoder(family.tokenizer, NVIDIA_PROMPT)
    for token in family.special:
        [pair] = encoder.encode("who?", [f"me {token} you"], 512)
        assert family.tokenizer.token_to_id(token) not in pair.ids[1:]
        assert pair.ids[0] == family.oracle("")[0]


def test_scores_equal_the_reference_with_the_real_vocabulary(family, tmp_path):
    tensors = decoder_tensors(family.config)
    folder = write_checkpoint(tmp_path, family.config, tensors, family.tokenizer)
    passages = odd_texts(6)
    scores = LocalScorer(folder, device="cpu", dtype="float32").score("who wrote it?", passages)
    expected = [
        reference.score(
            family.oracle(f"question:who wrote it? \n \n passage:{passage}"), family.config, tensors
        )
        for passage in passages
    ]
    assert scores == pytest.approx(expected, abs=1e-5)


SAMPLES = [
    "Die Würde des Menschen ist unantastbar. Sie zu achten und zu schützen ist Verpflichtung aller Gewalt.",
    "Люди рождаются свободными и равными в своём достоинстве и правах, наделены разумом и совестью.",
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
    "The committee counted 1,204 of 3.7 million votes (0.03 %) on 12/11/2024, $4.50 each.",
]


def test_the_estimate_for_hosted_models_is_not_below_what_the_vocabulary_counts(family):
    pages = [str(page)[:5000] for page in topics.values()]
    texts = [text for text in [*SAMPLES, *pages] if len(text) >= 80]
    counts = [len(family.oracle(text)) - 1 for text in texts]
    estimates = EstimatedTokenCounter().counts(texts)
    assert len(texts) > 50
    assert [text for text, count, most in zip(texts, counts, estimates, strict=True) if count > most] == []
    # control: four characters a token, as is often said, would be too few for most of them
    assert sum(count > len(text) / 4 for text, count in zip(texts, counts, strict=True)) > len(SAMPLES) - 2
