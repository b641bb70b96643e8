"""How long a passage is for a hosted model: by its own tokenizer if it is on this machine, else estimated.

Nothing is downloaded: the tokenizer is there if Hugging Face's cache holds the model's.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

from nvrerank.models import NVIDIA_PROMPT, RerankModel, find
from nvrerank.per_process import PerProcess
from nvrerank.token_counter import EstimatedTokenCounter, TokenCounter, beginning, passage_share

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


def find_token_counter(name: str | None, query: str) -> TokenCounter:
    """What counts passages for a model.

    Args:
        name: The model's; None: not known.
        query: Goes along with each passage.
    """
    known = find(name) if name else None
    if known is None:
        return EstimatedTokenCounter(query=query)
    file = _cached_tokenizer(known)
    return HostedTokenCounter(file, known, query) if file else EstimatedTokenCounter(known.context, query)


class HostedTokenCounter(TokenCounter):
    """Counts by a model's own tokenizer. Its counts are exact where the model's prompt is published.

    Args:
        file: The model's tokenizer.json.
        model: Its record.
        query: The query.
    """

    def __init__(self, file: str, model: RerankModel, query: str) -> None:
        self._tokenizer, self._turn = _opened(file)
        self.exact = model.prompt is not None
        self._prompt = model.prompt or NVIDIA_PROMPT
        most = model.context - passage_share(model.context)
        self.query = beginning(query, most, self._framed, self.ends)
        self._query = query if self.query is None else self.query
        self._frame = self._framed(self._query)
        self.room = model.context - self._frame

    def counts(self, texts: Sequence[str]) -> list[int]:
        """As promised by `TokenCounter`: what each passage adds to query and prompt."""
        prompts = (self._prompt.format(query=self._query, passage=text) for text in texts)
        return [len(self._encoded(prompt)) - self._frame for prompt in prompts]

    def ends(self, text: str) -> list[int]:
        """As promised by `TokenCounter`."""
        offsets = self._encoded(text, bare=True).offsets
        return list(accumulate((end for _, end in offsets), max))

    def _framed(self, query: str) -> int:
        return len(self._encoded(self._prompt.format(query=query, passage="")))

    def _encoded(self, text: str, *, bare: bool = False) -> Encoding:
        with self._turn.get():
            return self._tokenizer.encode(text, add_special_tokens=not bare)


def _cached_tokenizer(model: RerankModel) -> str | None:
    """The model's tokenizer.json in Hugging Face's cache; None: it, or what reads it, is not there."""
    try:
        import tokenizers  # noqa: F401
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    for name in (model.id, *model.aliases):
        try:
            file = try_to_load_from_cache(name, "tokenizer.json")
        except HFValidationError:  # no name that the hub could have
            continue
        if isinstance(file, str):
            return file
    return None


@lru_cache(maxsize=4)
def _opened(file: str) -> tuple[Tokenizer, PerProcess[threading.Lock]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(file)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer, PerProcess(threading.Lock)
