"""How a model is asked: NVIDIA's prompt, other authors' by the model's name, a folder's own chat template.

A model that its folder does not say how to ask is a record in `RECIPES`, with its source.
"""

from __future__ import annotations

import inspect
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from nvrerank.errors import ModelLoadError
from nvrerank.truncation import warn_caller

from .checkpoint import LARGEST, Config
from .saved import Saved
from .tokenization import Asked, PairEncoder, SavedTokenizer, TemplateEncoder, TokenPair, settled_tokenizer

# What can run together with the colon before it, or not: white space, signs, digits, letters of many scripts.
_RUN_ON = (
    *("", " a", "a", ":", "::", ": a", "\n", "\n\n a", "\t", "  ", "1,000", "'s", "..."),
    *("é", "東京", "🙂", "<s>", "//"),
)

QUERY, PASSAGE, INSTRUCTION = "\0query\0", "\0passage\0", "\0instruction\0"
"""Where the texts belong in the pieces of a prompt."""
_SLOTS = re.compile(f"{QUERY}|{INSTRUCTION}")

PROBES = (("Who wrote it?", "The sea, 1,000 times."), ("a", "b c\nd"), ("x  y ", " The End!"))
"""Pairs by which encoders are compared."""
_ESCAPED = ("a < b [1]?", "<b>[2]</b>")  # what a template may escape, as long as the tokenizer undoes it
_PROBE = " Find what proves it. "


class PromptEncoder(PairEncoder):
    """NVIDIA's rerankers: one sequence from a prompt, the passage at its end.

    Args:
        tokenizer: The model's.
        prompt: With {query} and, at its end, {passage}.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: str) -> None:
        super().__init__(tokenizer)
        self._prompt = prompt
        self._head, _, self._colon = prompt.removesuffix("{passage}").rpartition("passage")
        self._splits = self._can_split()

    def ask(self, query: str) -> Asked:
        """As promised by `PairEncoder`."""
        split = self._in_two if self._splits else self._in_one

        def paired(passages: Sequence[str], max_length: int) -> list[TokenPair]:
            every = split(query, passages)
            return [TokenPair(ids[:max_length], min(len(ids), max_length), len(ids)) for ids in every]

        return Asked(len(self._tokenizer.encode(self._prompt.format(query=query, passage="")).ids), paired)

    def _in_one(self, query: str, passages: Sequence[str]) -> Iterator[list[int]]:
        texts = [self._prompt.format(query=query, passage=passage) for passage in passages]
        return (encoding.ids for encoding in self._encodings(texts, special=True))

    def _in_two(self, query: str, passages: Sequence[str]) -> Iterator[list[int]]:
        """The query's part once: up to the prompt's last word, which a colon ends whatever follows it."""
        first = self._tokenizer.encode(self._head.format(query=query) + "passage").ids
        return (first + rest.ids for rest in self._encodings([self._colon + passage for passage in passages]))

    def _can_split(self) -> bool:
        """Whether two parts have the whole's tokens: where words are parted first, as Llama 3's, they do."""
        if not self._prompt.endswith("passage:{passage}"):
            return False
        return all(
            list(self._in_two(one, _RUN_ON)) == list(self._in_one(one, _RUN_ON)) for one in _RUN_ON[:8]
        )


class _Layout(NamedTuple):
    """A prompt taken apart: pieces before the passage's own, what stands around it there, pieces after it.

    `marks` are the tokenizer's added tokens among the pieces, which are structure.
    """

    before: Sequence[str]
    left: str
    right: str
    after: Sequence[str]
    marks: Mapping[str, int]


class PiecesEncoder(PairEncoder):
    """Chat templates and the like: pieces that are tokenised apart, the passage inside one of them.

    What a template holds of the tokenizer's added tokens is structure; the same spelled in a text is text.

    Args:
        tokenizer: The model's.
        pieces: The prompt, with `QUERY` and `PASSAGE` where they belong.
        told: The prompt that also has a place for an `INSTRUCTION`; empty: there is none.
        stripped: Whether the texts lose the white space around them.

    Raises:
        ValueError: `PASSAGE` does not occur once, or `QUERY` not at all.
    """

    def __init__(
        self, tokenizer: Tokenizer, pieces: Sequence[str], *, told: Sequence[str] = (), stripped: bool = False
    ) -> None:
        super().__init__(tokenizer)
        self._stripped, self._instruction = stripped, ""
        self._told = self._laid(tokenizer, told) if told else None
        self._layout = self._laid(tokenizer, pieces)

    def instructed(self, instruction: str) -> PairEncoder | None:
        """As promised by `PairEncoder`."""
        if self._told is None:
            return None
        twin = copy(self)
        text = instruction.strip() if self._stripped else instruction
        twin._layout, twin._instruction = self._told, text  # noqa: SLF001 (its own class)
        return twin

    @staticmethod
    def _laid(tokenizer: Tokenizer, pieces: Sequence[str]) -> _Layout:
        whole = "".join(pieces)
        if whole.count(PASSAGE) != 1 or QUERY not in whole:
            raise ValueError("a prompt holds the query, and the passage once")
        known = tokenizer.get_added_tokens_decoder()
        added = {token.content: (place, token) for place, token in known.items()}
        marks = "|".join(map(re.escape, sorted(added, key=len, reverse=True))) or r"(?!)"
        parts: list[str] = [part for piece in pieces for part in re.split(f"({marks})", piece) if part]
        found = {part: added[part][0] for part in parts if part in added}
        for token in (added[part][1] for part in found):
            if not token.special:  # it would be read in a text too
                token.special = True
                tokenizer.add_special_tokens([token])
        [place] = [place for place, part in enumerate(parts) if PASSAGE in part]
        left, right = parts[place].split(PASSAGE)
        return _Layout(parts[:place], left, right, parts[place + 1 :], found)

    def ask(self, query: str) -> Asked:
        """As promised by `PairEncoder`."""
        query = query.strip() if self._stripped else query
        layout = self._layout
        left, right = self._filled(layout.left, query), self._filled(layout.right, query)
        before, after = self._ids(layout.before, query), self._ids(layout.after, query)
        end = self._encodings([right])[0].ids  # what a cut passage is followed by
        ends = len(before) + len(end) + len(after)

        def paired(passages: Sequence[str], max_length: int) -> list[TokenPair]:
            texts = [passage.strip() for passage in passages] if self._stripped else passages
            middles = self._encodings([left + text + right for text in texts])
            pairs = []
            for text, middle in zip(texts, middles, strict=True):
                whole, ids = len(before) + len(middle) + len(after), middle.ids
                if whole > max_length:
                    starts = [start for start, _ in middle.offsets]
                    inside = bisect_left(starts, len(left) + len(text)) if right else len(ids)
                    ids = ids[: min(inside, max_length - ends)] + end
                pairs.append(TokenPair(before + ids + after, len(before) + len(ids) + len(after), whole))
            return pairs

        return Asked(ends + len(self._encodings([left])[0]), paired)

    def _ids(self, parts: Sequence[str], query: str) -> list[int]:
        ids: list[int] = []
        for part in parts:
            mark = self._layout.marks.get(part)
            ids += self._encodings([self._filled(part, query)])[0].ids if mark is None else [mark]
        return ids

    def _filled(self, part: str, query: str) -> str:
        return _SLOTS.sub(lambda slot: query if slot[0] == QUERY else self._instruction, part)


@dataclass(frozen=True)
class Recipe:
    """How a language model is asked whether a passage answers a query.

    Attributes:
        name: What people call the models; part of the hub name or of the folder's.
        pattern: Regular expression that finds it there.
        model_type: config.json's.
        pieces: The prompt, with `QUERY` and `PASSAGE` where they belong, in pieces that its authors tokenise
            apart.
        markers: Special tokens of the prompt, without which it would mean something else.
        yes: The token whose logit at the last place is the score.
        no: The token whose logit is subtracted; None: none is.
        context: Tokens it was made for.
        told: The prompt with `INSTRUCTION` in it; empty: it has no place for one.
    """

    name: str
    pattern: str
    model_type: str
    pieces: tuple[str, ...]
    markers: tuple[str, ...]
    yes: str
    no: str | None
    context: int
    told: tuple[str, ...] = ()

    def encoder(self, tokenizer: SavedTokenizer, config: Config) -> PairEncoder:
        """What tokenises pairs by this prompt.

        Raises:
            ModelLoadError: The tokenizer lacks a special token of the prompt.
        """
        added = {token.content for token in tokenizer.backend.get_added_tokens_decoder().values()}
        for mark in self.markers:
            if mark not in added:
                raise ModelLoadError(
                    f"{config.file.parent / 'tokenizer.json'} has no token {mark}, which the prompt of "
                    f"{self.name} needs"
                )
        return PiecesEncoder(tokenizer.backend, self.pieces, told=self.told)


_CHAT = ("<|im_start|>", "<|im_end|>")
_QWEN3_HEAD = """<|im_start|>system
Judge whether the Document meets the requirements based on the Query and the Instruct provided. \
Note that the answer can only be "yes" or "no".<|im_end|>
<|im_start|>user
"""
_QWEN3_TASK = "Given a web search query, retrieve relevant passages that answer the query"
_QWEN3 = f"""<Instruct>: {INSTRUCTION}
<Query>: {QUERY}
<Document>: {PASSAGE}<|im_end|>
<|im_start|>assistant
<think>

</think>

"""
_QWEN3_VL_TASK = "Given a search query, retrieve relevant candidates that answer the query."
_QWEN3_VL = f"""<Instruct>: {INSTRUCTION}<Query>:{QUERY}
<Document>:{PASSAGE}<|im_end|>
<|im_start|>assistant
"""
_MXBAI_HEAD = """<|im_start|>system
You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>
<|im_start|>user
"""
_MXBAI_TASK = """You are a search relevance expert who evaluates how well documents match search \
queries. For each query-document pair, carefully analyze the semantic relationship between them, \
then provide your binary relevance judgment (0 for not relevant, 1 for relevant).
Relevance:"""
_MXBAI_TAIL = ("\n", f"document: {PASSAGE}", "\n", _MXBAI_TASK, "<|im_end|>\n<|im_start|>assistant\n")
_BGE_TASK = """Given a query A and a passage B, determine whether the passage contains an answer to the \
query by providing a prediction of either 'Yes' or 'No'."""

RECIPES = (
    Recipe(  # https://huggingface.co/Qwen/Qwen3-Reranker-0.6B
        name="Qwen3-Reranker",
        pattern=r"qwen3[-_.]?reranker",
        model_type="qwen3",
        pieces=(_QWEN3_HEAD, _QWEN3.replace(INSTRUCTION, _QWEN3_TASK)),
        told=(_QWEN3_HEAD, _QWEN3),
        markers=_CHAT,
        yes="yes",
        no="no",
        context=32_768,
    ),
    Recipe(  # https://github.com/QwenLM/Qwen3-VL-Embedding, src/models/qwen3_vl_reranker.py
        name="Qwen3-VL-Reranker",
        pattern=r"qwen3[-_.]?vl[-_.]?reranker",
        model_type="qwen3_vl",
        pieces=(_QWEN3_HEAD + _QWEN3_VL.replace(INSTRUCTION, _QWEN3_VL_TASK),),
        told=(_QWEN3_HEAD + _QWEN3_VL,),
        markers=_CHAT,
        yes="yes",
        no="no",
        context=32_768,
    ),
    Recipe(  # https://github.com/mixedbread-ai/mxbai-rerank, mxbai_rerank/mxbai_rerank_v2.py
        name="mxbai-rerank-v2",
        pattern=r"mxbai[-_.]?rerank[-_.](\w+[-_.])?v2",
        model_type="qwen2",
        pieces=(_MXBAI_HEAD, f"query: {QUERY}", *_MXBAI_TAIL),
        told=(_MXBAI_HEAD, f"instruction: {INSTRUCTION}\nquery: {QUERY}", *_MXBAI_TAIL),
        markers=_CHAT,
        yes="1",
        no="0",
        context=8192,
    ),
    Recipe(  # https://github.com/FlagOpen/FlagEmbedding, inference/reranker/decoder_only/base.py
        name="bge-reranker-v2-gemma",
        pattern=r"bge[-_.]?reranker[-_.](v2[-_.])?gemma",
        model_type="gemma",
        pieces=(f"<bos>A: {QUERY}", "\n", f"B: {PASSAGE}", "\n", _BGE_TASK),
        markers=("<bos>",),
        yes="Yes",
        no=None,
        context=8192,
    ),
)


def find_recipe(names: Iterable[str], model_type: object) -> Recipe | None:
    """The recipe of a model that is called so."""
    called = "\n".join(names)
    fitting = (recipe for recipe in RECIPES if recipe.model_type == model_type)
    return next((recipe for recipe in fitting if re.search(recipe.pattern, called, re.IGNORECASE)), None)


def library_encoder(
    transformer: Any, saved: Saved, tokenizer: SavedTokenizer, config: Config, *, longest: Callable[[], int]
) -> tuple[PairEncoder, str]:
    """What tokenises pairs as sentence-transformers does, held against it on some.

    Args:
        transformer: Its module.
        saved: What the folder says beside the weights.
        tokenizer: The folder's.
        config: config.json.
        longest: Tells how many tokens the library cuts a pair to, where it reads a pair at all.

    Returns:
        The encoder, and the modality that the library would call it.

    Raises:
        ModelLoadError: The library can't read a pair, or reads it otherwise.
    """
    unpadded = {"text": {"padding": False}}
    chats = "message" in transformer.modality_config

    def preprocessed(prompt: str | None) -> list[Any]:
        every = (*PROBES, _ESCAPED)
        return [transformer.preprocess([pair], prompt=prompt, processing_kwargs=unpadded) for pair in every]

    try:
        wanted = preprocessed(saved.prompt)
        if chats:
            encoder = _chat_encoder(transformer, saved, tokenizer)
        else:
            encoder = _template_encoder(transformer, saved, tokenizer, config)
        asked = [(encoder, wanted)]
        if told := encoder.instructed(_PROBE):
            asked.append((told, preprocessed(_PROBE)))
            settled_tokenizer(tokenizer.backend)
    except (ModelLoadError, Warning):
        raise
    except Exception as error:  # whatever the library raises: a template without the roles, a broken one
        raise ModelLoadError(f"{saved.folder}: sentence-transformers can't read a pair: {error}") from error
    for (query, passage), features, one in (
        (pair, features, one)
        for one, each in asked
        for pair, features in zip((*PROBES, _ESCAPED), each, strict=True)
    ):
        ids = features["input_ids"][0].tolist()
        [pair] = one.encode(query, [passage], LARGEST)
        if len(ids) < longest() and list(pair.ids) != ids:
            raise ModelLoadError(
                f"{saved.folder}: this version of sentence-transformers tokenises the folder's pairs "
                "otherwise than is known here"
            )
    return encoder, "message" if chats else "text"


def takes_pairs(transformer: Any) -> bool:
    """Whether there is a chat template that names a query and a document; ChatML renders any role unnamed."""
    template = str(getattr(transformer.processor, "chat_template", None))
    named = "query" in template and "document" in template and "message" in transformer.modality_config
    return bool(named and transformer.input_formatter.pair_roles_failure({}) is None)


def _template_encoder(
    transformer: Any, saved: Saved, tokenizer: SavedTokenizer, config: Config
) -> PairEncoder:
    from transformers.models.auto import modeling_auto

    model_type = config.model_type
    decoder = str(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)).endswith("ForCausalLM")
    if decoder and model_type not in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not saved.modules:
        warn_caller(
            f"{saved.folder}: a {model_type} is scored without a prompt, since the folder names none: if it "
            "was trained with one, save it as a CrossEncoder of sentence-transformers with its chat template",
            UserWarning,
        )
    relative = model_type in ("funnel", "xlnet")  # types are compared, not looked up
    kinds = LARGEST if relative else getattr(transformer.config, "type_vocab_size", None)
    typed = "token_type_ids" in inspect.signature(transformer.model.forward).parameters and (
        tokenizer.typed == "yes" if kinds is None else kinds > 0 and tokenizer.gives_types(config.file, kinds)
    )
    return TemplateEncoder(
        tokenizer.backend,
        typed=typed,
        prompt=saved.prompt or "",
        prompted=saved.prompted,
        side=tokenizer.side,
    )


def _chat_encoder(transformer: Any, saved: Saved, tokenizer: SavedTokenizer) -> PairEncoder:
    from jinja2 import TemplateError  # torch's and transformers' own

    formatter = transformer.input_formatter
    settings = dict(transformer.processing_kwargs.get("chat_template", {}))
    for name in ("max_length", "padding", "restore_suffix", "return_tensors", "truncation"):
        settings.pop(name, None)

    def rendered(query: str, passage: str, prompt: str | None = saved.prompt) -> str:
        messages = [formatter.pair_to_messages((query, passage))]
        if prompt:
            messages = formatter.prepend_prompt_to_messages(messages, prompt)
        return str(transformer.processor.apply_chat_template(messages[0], tokenize=False, **settings))

    whole = rendered(QUERY, PASSAGE)
    try:
        told, named = rendered(QUERY, PASSAGE, INSTRUCTION), rendered(QUERY, PASSAGE, _PROBE)
    except TemplateError:  # it has no turn of the system's
        told = named = ""
    for change in (str, str.strip):
        if all(
            whole.replace(QUERY, change(query)).replace(PASSAGE, change(passage)) == rendered(query, passage)
            for query, passage in PROBES
        ):
            fits = told.replace(INSTRUCTION, change(_PROBE)) == named
            place = [told] if fits and all(one in told for one in (QUERY, PASSAGE, INSTRUCTION)) else ()
            try:
                return PiecesEncoder(tokenizer.backend, [whole], told=place, stripped=change is not str)
            except ValueError:
                break
    raise ModelLoadError(
        f"{saved.folder}: its chat template does more than to put query and passage in their places"
    )
