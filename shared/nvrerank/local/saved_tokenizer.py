"""A folder's tokenizer, as transformers makes it of all the files that have a say in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from nvrerank.errors import MissingExtraError, ModelLoadError

from .config import LARGEST, Config

_ANY = ("PreTrainedTokenizerFast", "TokenizersBackend")  # transformers' class for any tokenizer.json


@dataclass(frozen=True)
class SavedTokenizer:
    """A tokenizer and what its settings ask for.

    Attributes:
        backend: Texts to token ids; casing, normalisation and special tokens are in it.
        longest: Tokens of a pair (model_max_length).
        typed: Whether it gives token types: "yes", "no", or "usual" where the folder doesn't say.
        side: Where a text is cut that is too long.
        pad: The padding token's id; None: there is none.
        chats: Whether it has a chat template.
    """

    backend: Tokenizer
    longest: int = LARGEST
    typed: str = "usual"
    side: str = "right"
    pad: int | None = None
    chats: bool = False

    @classmethod
    def load(cls, folder: Path) -> SavedTokenizer:
        """Loads it without remote code.

        Raises:
            MissingExtraError: transformers is not installed.
            ModelLoadError: transformers can't load it.
        """
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise MissingExtraError("this model needs transformers: pip install 'nvrerank[local]'") from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        except Exception as error:  # whatever transformers raises for files it can't use
            raise ModelLoadError(
                f"{folder / 'tokenizer_config.json'}: transformers can't load this tokenizer: {error}"
            ) from error
        return cls.of(tokenizer, folder)

    @classmethod
    def of(cls, tokenizer: Any, folder: Path) -> SavedTokenizer:
        """Reads a tokenizer of transformers.

        Its class for any tokenizer.json gave token types unless told otherwise; version 5 lost them
        (huggingface/transformers#48128), and models that were trained with them need them.

        Raises:
            ModelLoadError: It has no fast form.
        """
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise ModelLoadError(
                f"{folder / 'tokenizer.json'} is missing: save the model's fast tokenizer there"
            )
        file = folder / "tokenizer_config.json"
        told = file.is_file() and "model_input_names" in Config.read(file).values
        usual = type(tokenizer).__name__ in _ANY and not told
        given = "token_type_ids" in tokenizer.model_input_names
        return cls(
            backend=backend,
            longest=min(int(tokenizer.model_max_length), LARGEST),
            typed="yes" if given else "usual" if usual else "no",
            side=tokenizer.truncation_side,
            pad=tokenizer.pad_token_id,
            chats=bool(tokenizer.chat_template),
        )

    def fit(self, file: Path, rows: int) -> None:
        """Checks that every token has an embedding.

        Args:
            file: Named in the error.
            rows: Rows of the embedding table.

        Raises:
            ModelLoadError: One has none.
        """
        largest = max(self.backend.get_vocab(with_added_tokens=True).values(), default=-1)
        if largest >= rows:
            raise ModelLoadError(
                f"{file} has token id {largest}, the embedding table {rows} rows: "
                "they belong to different models"
            )

    def types(self, file: Path, kinds: int) -> bool:
        """Whether a model with so many token types is given them.

        Raises:
            ModelLoadError: The tokenizer insists on a type that the model doesn't have.
        """
        largest = max(self.backend.encode("a", "b").type_ids, default=0)
        if self.typed == "yes" and largest >= kinds:
            raise ModelLoadError(
                f"{file}: type_vocab_size is {kinds}, the tokenizer gives token type {largest}: name the "
                "inputs in model_input_names of tokenizer_config.json"
            )
        return self.typed != "no" and largest < kinds
