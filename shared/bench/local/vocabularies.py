"""Real vocabularies, rebuilt from packages that ship them: Llama 3's and Mistral 7B v0.1's.

A pair of texts is laid end to end behind the BOS, so that a library that knows only pairs reads the same
token ids as one that knows the whole prompt: the cut is where no token goes across it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, normalizers, processors

MISTRAL_SPECIAL = ("</s>", "<s>", "<unk>")


def llama3_file() -> str:
    """The vocabulary of Llama 3, as tiktoken reads it."""
    return _package_file("llama_models", "llama3/tokenizer.model")


def mistral_file() -> str:
    """The vocabulary of Mistral, as SentencePiece reads it."""
    return _package_file("mistral_common", "data/tokenizer.model.v1")


def _package_file(package: str, name: str) -> str:
    spec = find_spec(package)  # without importing it
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the benchmark needs {package}: pip install -e '.[bench]'")
    return str(Path(next(iter(spec.submodule_search_locations))) / name)


def llama3() -> Tokenizer:
    """Byte-level BPE of 128,256 entries."""
    from transformers.convert_slow_tokenizer import TikTokenConverter

    file = llama3_file()
    tokenizer: Tokenizer = TikTokenConverter(vocab_file=file).converted()  # type: ignore[no-untyped-call]
    _put_bos_first(tokenizer, "<|begin_of_text|>", 128_000)
    names = ["<|begin_of_text|>", "<|end_of_text|>"]
    names += [f"<|reserved_special_token_{number}|>" for number in range(254)]
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in names])
    return tokenizer


def mistral(*, leading_space: bool = True) -> Tokenizer:
    """SentencePiece's pieces as byte-pair merges: the better a piece's score, the earlier its merge.

    Args:
        leading_space: Whether a text gets a space in front, as SentencePiece does. Without, the caller
            puts it there, in front of the first text of a pair only.
    """
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=mistral_file())
    names = [pieces.id_to_piece(number) for number in range(pieces.get_piece_size())]
    vocabulary = {name: number for number, name in enumerate(names)}
    merges = [
        (name[:cut], name[cut:])
        for name in sorted(names, key=lambda name: -pieces.get_score(vocabulary[name]))
        for cut in range(1, len(name))
        if name[:cut] in vocabulary and name[cut:] in vocabulary and name not in MISTRAL_SPECIAL
    ]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    spaces: list[normalizers.Normalizer] = [normalizers.Prepend("\u2581")] if leading_space else []
    tokenizer.normalizer = normalizers.Sequence([*spaces, normalizers.Replace(" ", "\u2581")])
    _put_bos_first(tokenizer, "<s>", 1)
    tokenizer.add_special_tokens(list(MISTRAL_SPECIAL))
    return tokenizer


def _put_bos_first(tokenizer: Tokenizer, bos: str, bos_id: int) -> None:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, bos_id)]
    )
