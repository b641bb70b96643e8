"""What tokenises pairs for sentence-transformers' modules; held against the library itself on some pairs."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import sentence_transformers
from sentence_transformers.base.modules import Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from torch import nn
from transformers.models.auto import modeling_auto

from nvrerank.errors import ModelLoadError
from nvrerank.local.config import LARGEST, Config
from nvrerank.local.prompt import PASSAGE, QUERY, PairEncoder, PiecesEncoder, TemplateEncoder
from nvrerank.local.saved import Saved
from nvrerank.local.saved_tokenizer import SavedTokenizer
from nvrerank.truncation import warn_caller

from .recipes import Recipe

PROBES = (("Who wrote it?", "The sea, 1,000 times."), ("a", "b c\nd"), ("x  y ", " The End!"))


def make_encoder(
    transformer: Transformer,
    saved: Saved,
    recipe: Recipe | None,
    tokenizer: SavedTokenizer,
    config: Config,
) -> tuple[PairEncoder, str]:
    """What tokenises pairs, and the modality that the library would call it.

    Raises:
        ModelLoadError: The library can't read a pair, or reads it otherwise.
    """
    if recipe is not None and not _takes_pairs(transformer):
        return _recipe_encoder(recipe, tokenizer, config), "text"
    unpadded: Any = {"text": {"padding": False}}
    try:
        wanted = [
            transformer.preprocess([pair], prompt=saved.prompt, processing_kwargs=unpadded) for pair in PROBES
        ]
        chats = "message" in transformer.modality_config
        encoder = (
            _chat_encoder(transformer, saved, tokenizer)
            if chats
            else _template_encoder(transformer, saved, tokenizer, config)
        )
    except (ModelLoadError, Warning):
        raise
    except Exception as error:  # whatever the library raises: a template without the roles, a broken one
        raise ModelLoadError(f"{saved.folder}: sentence-transformers can't read a pair: {error}") from error
    longest = longest_pair(transformer, tokenizer)
    for (query, passage), features in zip(PROBES, wanted, strict=True):
        ids = features["input_ids"][0].tolist()
        [pair] = encoder.encode(query, [passage], LARGEST)
        if len(ids) < longest and list(pair.ids) != ids:
            raise ModelLoadError(
                f"{saved.folder}: sentence-transformers {sentence_transformers.__version__} tokenises this "
                "folder's pairs otherwise than is known here"
            )
    return encoder, "message" if chats else "text"


def _takes_pairs(transformer: Transformer) -> bool:
    """Whether there is a chat template that names a query and a document; ChatML renders any role unnamed."""
    template = str(getattr(transformer.processor, "chat_template", None))
    named = "query" in template and "document" in template and "message" in transformer.modality_config
    return named and transformer.input_formatter.pair_roles_failure({}) is None


def _template_encoder(
    transformer: Transformer, saved: Saved, tokenizer: SavedTokenizer, config: Config
) -> PairEncoder:
    model_type = str(config.values["model_type"])
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
        tokenizer.typed == "yes" if kinds is None else kinds > 0 and tokenizer.types(config.file, kinds)
    )
    return TemplateEncoder(tokenizer.backend, typed=typed, prompt=saved.prompt or "", side=tokenizer.side)


def _chat_encoder(transformer: Transformer, saved: Saved, tokenizer: SavedTokenizer) -> PairEncoder:
    formatter = transformer.input_formatter
    settings = dict(transformer.processing_kwargs.get("chat_template", {}))
    for name in ("max_length", "padding", "restore_suffix", "return_tensors", "truncation"):
        settings.pop(name, None)

    def rendered(query: str, passage: str) -> str:
        messages = [formatter.pair_to_messages((query, passage))]
        if saved.prompt:
            messages = formatter.prepend_prompt_to_messages(messages, saved.prompt)
        return str(transformer.processor.apply_chat_template(messages[0], tokenize=False, **settings))

    whole = rendered(QUERY, PASSAGE)
    for change in (str, str.strip):
        if all(
            whole.replace(QUERY, change(query)).replace(PASSAGE, change(passage)) == rendered(query, passage)
            for query, passage in PROBES
        ):
            try:
                return PiecesEncoder(tokenizer.backend, [whole], stripped=change is not str)
            except ValueError:
                break
    raise ModelLoadError(
        f"{saved.folder}: its chat template does more than to put query and passage in their places"
    )


def _recipe_encoder(recipe: Recipe, tokenizer: SavedTokenizer, config: Config) -> PairEncoder:
    added = {token.content for token in tokenizer.backend.get_added_tokens_decoder().values()}
    for mark in recipe.markers:
        if mark not in added:
            raise ModelLoadError(
                f"{config.file.parent / 'tokenizer.json'} has no token {mark}, which the prompt of "
                f"{recipe.name} needs"
            )
    return PiecesEncoder(tokenizer.backend, recipe.pieces)


def answer_tokens(
    rest: Sequence[nn.Module], recipe: Recipe | None, tokenizer: SavedTokenizer, config: Config
) -> tuple[int, ...]:
    """The tokens of a language model whose logits make the score: yes, and no if it is subtracted.

    Raises:
        ModelLoadError: There are no such tokens, or another module than LogitScore reads the logits.
    """
    if recipe is not None:
        words = [recipe.yes] if recipe.no is None else [recipe.yes, recipe.no]
        found = [tokenizer.backend.token_to_id(word) for word in words]
    elif len(rest) == 1 and isinstance(rest[0], LogitScore) and rest[0].module_input_name == "causal_logits":
        found = [rest[0].true_token_id]
        found += [] if rest[0].false_token_id is None else [rest[0].false_token_id]
    else:
        raise ModelLoadError(f"{config.file.parent / 'modules.json'}: a language model needs one LogitScore")
    known = tokenizer.backend.get_vocab_size(with_added_tokens=True)
    answer = tuple(one for one in found if isinstance(one, int) and 0 <= one < known)
    if len(answer) != len(found):
        raise ModelLoadError(
            f"{config.file.parent / 'tokenizer.json'} has no token that the answer is read from: {found}"
        )
    return answer


def longest_pair(transformer: Transformer, tokenizer: SavedTokenizer) -> int:
    """Tokens of a pair that tokenizer, configuration and table of positions allow.

    RoBERTa and its kin use no positions up to the padding token's id.
    """
    limits = [tokenizer.longest, transformer.processing_kwargs.get("text", {}).get("max_length") or LARGEST]
    stated = getattr(transformer.config, "max_position_embeddings", -1)  # XLNet's own word for none
    limits.append(stated if isinstance(stated, int) and stated > 0 else LARGEST)
    for name, module in transformer.model.named_modules():
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in ("position_embeddings", "wpe"):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - unused)
    return min(limits)
