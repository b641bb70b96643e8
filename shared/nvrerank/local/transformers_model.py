"""Every other reranker, through sentence-transformers: the modules a folder lists, or a model's own head.

The library's modules compute. Which classes those are is decided here by name, before anything is imported by
one; what they are given is tokenised here (`prompts`), by the rules that every family keeps. Needs
sentence-transformers: it is imported when a folder asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, cast

import sentence_transformers
import torch
import transformers
from sentence_transformers.base.modality import InputFormatter
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from torch import Tensor, nn
from transformers.models.auto import modeling_auto
from transformers.utils import logging

from nvrerank.errors import ModelLoadError

from .checkpoint import LARGEST, Checkpoint, Config, Labels
from .layers import LoadedModel, quantize
from .prompts import PROBES, RECIPES, Recipe, find_recipe, library_encoder, takes_pairs
from .saved import Saved
from .settings import LocalSettings
from .tokenization import SavedTokenizer, TokenPair

Together = Literal["padded", "length", "alone"]

_TASKS: dict[str, Mapping[str, Any]] = {
    "sequence-classification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "text-generation": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "feature-extraction": modeling_auto.MODEL_MAPPING_NAMES,
}
_TRUNKS = (*_TASKS.values(), modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
_LOADERS: dict[str, Any] = {
    "sequence-classification": transformers.AutoModelForSequenceClassification,
    "text-generation": transformers.AutoModelForCausalLM,
    "feature-extraction": transformers.AutoModel,
}
_MODULES: dict[str, Any] = {kind.__name__: kind for kind in (Dense, LayerNorm, LogitScore, Pooling)}
_SEEING = ("mistral3", "qwen3_vl")  # models that also see: a decoder within, and what images need beside it
_WITHIN = re.compile(r"(model\.)?language_model\.(model\.)?(?=embed_tokens\.)")
_EYES = r"|(model\.)?(visual|vision_tower|multi_modal_projector)\..*"
_DENSE = r"|(language_model\.)?score\.weight"  # the same head once more, for vLLM
_UNUSED = r"(.*\.)?(pooler\.dense\.(weight|bias)|position_ids|inv_freq|lm_head\..*)|cls\..*"
_LOCAL: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
_PADDED = {  # a mask keeps padding out of every sum; held against single pairs by a test
    *("albert", "bert", "camembert", "data2vec-text", "deberta", "deberta-v2", "distilbert", "electra"),
    *("ernie", "gemma", "gemma2", "gemma3_text", "llama", "ministral3", "mistral", "modernbert", "mpnet"),
    *("phi3", "qwen2", "qwen3", "rembert", "roberta", "xlm-roberta", "xlm-roberta-xl"),
}


@dataclass(frozen=True)
class TransformersModel:
    """Modules one after another, as a CrossEncoder calls them.

    Attributes:
        modules: The transformer, and what follows it up to "scores".
        labels: Which of the scores counts.
        device: Where they are.
        together: Which pairs are computed at once: all, padded; those of one length; each alone.
        left: Whether padding stands in front, where the last token is read.
        modality: Under which the transformer looks up what to call.
    """

    modules: tuple[nn.Module, ...]
    labels: Labels
    device: torch.device
    together: Together
    left: bool
    modality: str

    def __call__(self, batch: Sequence[TokenPair]) -> Tensor:
        """Token ids of a batch to raw logits, float32: [pairs]."""

        def key(place: int) -> int:
            return {"padded": 0, "length": len(batch[place].ids), "alone": place}[self.together]

        groups = [list(group) for _, group in groupby(sorted(range(len(batch)), key=key), key=key)]
        logits = torch.cat([self._forward([batch[place] for place in group]) for group in groups])
        places = torch.tensor([place for group in groups for place in group], device=logits.device)
        return torch.empty_like(logits).index_copy_(0, places, logits)

    def _forward(self, batch: Sequence[TokenPair]) -> Tensor:
        features = self._features(batch)
        for module in self.modules:
            features = module(features)
        return self.labels.logit(features["scores"].float())  # from [pairs, labels]

    def _features(self, batch: Sequence[TokenPair]) -> dict[str, Any]:
        width = max(len(pair.ids) for pair in batch)
        transformer: Any = self.modules[0]

        def rows(each: Callable[[TokenPair], Sequence[int]], filler: int) -> Tensor:
            padded = []
            for pair in batch:
                row, rest = list(each(pair)), [filler] * (width - len(pair.ids))
                padded.append(rest + row if self.left else row + rest)
            return torch.tensor(padded, device=self.device)  # [pairs, width]

        mask = rows(lambda pair: [1] * len(pair.ids), 0)
        features: dict[str, Any] = {
            "input_ids": rows(lambda pair: pair.ids, transformer.config.pad_token_id or 0),
            "attention_mask": mask,
            "modality": self.modality,
        }
        if batch[0].types:
            features["token_type_ids"] = rows(lambda pair: pair.types, 0)
        if self.left:
            features["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        return features


def load_reference(
    checkpoint: Checkpoint, saved: Saved, settings: LocalSettings, *, name: str, progress: bool
) -> LoadedModel:
    """Loads a folder that no fast path computes; arguments are `families.load_model`'s.

    Raises:
        ModelLoadError: A file asks for something that neither library nor package can do, or the files
            don't fit together; the message names the file.
    """
    config = checkpoint.config
    recipe = None if saved.modules else find_recipe(_names(name, saved.folder, config), config.model_type)
    task = _task(config, saved, recipe)
    if task == "sequence-classification" and (named := config.section("id2label")):
        Labels.find(config, len(named.values), settings.label)  # before anything is loaded
    with _quiet(progress=progress):
        seeing = config.model_type in _SEEING
        first, *rest = _load(checkpoint, saved, task, settings.dtype, seeing=seeing)
        transformer = cast("Transformer", first)
        tokenizer = SavedTokenizer.of(transformer.tokenizer, checkpoint.folder)
        tokenizer.check(checkpoint.folder, _count_embeddings(transformer))
        longest = partial(_longest_pair, transformer, tokenizer)
        if recipe is None or takes_pairs(transformer):
            encoder, modality = library_encoder(transformer, saved, tokenizer, config, longest=longest)
        else:
            encoder, modality = recipe.encoder(tokenizer, config), "text"
        if task == "text-generation":
            rest = [_shrink_head(transformer, _answer_tokens(rest, recipe, tokenizer, config))]
    modules = (transformer, *rest)
    alone = transformer.config.pad_token_id is None and task == "sequence-classification"
    model = TransformersModel(
        modules=modules,
        labels=Labels.find(config, _count_labels(modules), settings.label),
        device=settings.device,
        together="alone" if alone else "padded" if transformer.config.model_type in _PADDED else "length",
        left=task == "text-generation",
        modality=modality,
    )
    if settings.quantize:
        _quantize(transformer, config)
    for module in modules:
        module.requires_grad_(requires_grad=False).eval().to(settings.device)
    if settings.dtype != torch.float32:
        _exact_heads(modules)
    context = min(longest(), recipe.context if recipe else LARGEST)
    loaded = LoadedModel(encoder, context, model)
    with _quiet(progress=progress):
        _try(loaded, config, settings)
    return loaded


def _task(config: Config, saved: Saved, recipe: Recipe | None) -> str:
    """What the transformer is loaded for."""
    config.expect("position_embedding_type", "absolute")
    model_type = config.model_type
    if model_type not in _TASKS["feature-extraction"]:
        raise ModelLoadError(
            f"{config.file}: transformers {transformers.__version__} knows no model_type "
            f"{model_type!r:.80}{config.own_code}"
        )
    asked = config.values.get("architectures")
    architecture = asked[0] if isinstance(asked, list) and asked and isinstance(asked[0], str) else None
    if saved.modules:
        task = str(saved.modules[0].config.values.get("transformer_task", "feature-extraction"))
    elif model_type in _SEEING and recipe is not None:
        task = "any-to-any"
    else:
        generates = architecture is not None and architecture.endswith("ForCausalLM")
        task = "text-generation" if generates else "sequence-classification"
    if model_type in _SEEING and task in ("any-to-any", "feature-extraction"):
        return "text-generation" if task == "any-to-any" else task  # of the decoder within
    known: set[str] = set()
    for table in _TRUNKS if task == "feature-extraction" else (_TASKS.get(task, {}),):
        names = table.get(model_type, ())
        known.update((names,) if isinstance(names, str) else names)
    if not known or (architecture is not None and architecture not in known):
        raise ModelLoadError(
            f"{config.file}: {architecture or model_type!r:.120} is no class of transformers for {task} by a "
            f"{model_type!r:.80}{config.own_code}; neither an embedding model nor a language model by "
            f"itself is a reranker{'; a NIM or vLLM may serve it' if model_type in _SEEING else ''}"
        )
    if task == "text-generation" and not saved.modules and recipe is None:
        raise ModelLoadError(
            f"{config.file}: {architecture} is a language model, and neither modules.json nor the folder's "
            f"name says how it ranks (known by name: {', '.join(one.name for one in RECIPES)}): save it as a "
            "CrossEncoder of sentence-transformers, or keep its model's name in the folder's"
        )
    return task


def _names(name: str, folder: Path, config: Config) -> Iterator[str]:
    """What a model may be called: as it was asked for, its folder, its place in the hub's cache."""
    place = folder.resolve()
    yield from (Path(name).name, place.name)
    if place.parent.name == "snapshots":
        yield place.parent.parent.name
    if isinstance(told := config.values.get("_name_or_path"), str):
        yield Path(told).name


class _Transformer(Transformer):
    """The library's, which keeps what transformers says of the tensors that it read."""

    report: Mapping[str, Any] | None = None

    def _load_model(
        self, model_name_or_path: str, transformer_task: Any, config: Any, *_: Any, **kwargs: Any
    ) -> Any:
        model, self.report = _LOADERS[transformer_task].from_pretrained(
            model_name_or_path, config=config, output_loading_info=True, **kwargs
        )
        return model


class _TextPart(nn.Module):
    """The decoder within a model that also sees, where the library has a Transformer.

    The library would load what images need, too, by packages that texts don't need.

    Args:
        checkpoint: The model's.
        saved: What stands beside it.
        task: What the decoder is loaded for.
        weights: For transformers' loader.
    """

    def __init__(
        self, checkpoint: Checkpoint, saved: Saved, task: str, weights: Mapping[str, object]
    ) -> None:
        super().__init__()
        told = saved.modules[0].config.values if saved.modules else {}
        self.processing_kwargs = dict(told.get("processing_kwargs") or {})
        self.modality_config = told.get("modality_config") or {"message": {}}
        message_format = self.modality_config.get("message", {}).get("format", "auto")
        config = _decoder_config(checkpoint.folder)
        starts = {match[0] for name in checkpoint.shapes if (match := _WITHIN.match(name))}
        renamed = {f"^{re.escape(start)}": "model." for start in starts}
        self.model, self.report = _LOADERS[task].from_pretrained(
            checkpoint.folder, config=config, key_mapping=renamed, output_loading_info=True, **weights
        )
        for module in self.model.modules() if getattr(config, "is_causal", None) is False else ():
            if hasattr(module, "is_causal"):  # where there is no mask, attention goes by this
                module.is_causal = False
        self.config = self.model.config
        self.tokenizer = self.processor = transformers.AutoTokenizer.from_pretrained(
            checkpoint.folder, **_LOCAL
        )
        kind = checkpoint.config.model_type
        self.input_formatter = InputFormatter(kind, message_format, self.tokenizer)

    def preprocess(self, pairs: Sequence[Any], prompt: str | None = None, **_: object) -> Any:
        """A pair's token ids by the folder's chat template, as the library makes them."""
        messages = [self.input_formatter.pair_to_messages(pair) for pair in pairs]
        if prompt:
            messages = self.input_formatter.prepend_prompt_to_messages(messages, prompt)
        settings = self.processing_kwargs.get("chat_template", {})
        return self.tokenizer.apply_chat_template(messages, return_dict=True, return_tensors="pt", **settings)

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Adds logits of a language model, hidden states of any other."""
        names = [name for name in ("input_ids", "attention_mask", "position_ids") if name in features]
        output = self.model(**{name: features[name] for name in names}, use_cache=False)
        if hasattr(output, "logits"):
            return features | {"causal_logits": output.logits}
        return features | {"token_embeddings": output.last_hidden_state}


def _decoder_config(folder: Path) -> Any:
    """The configuration of the decoder within; Qwen3-VL's is a Qwen3 whose positions, of texts, are plain."""
    told: Any = transformers.AutoConfig.from_pretrained(folder, **_LOCAL)
    config = told.text_config
    if config.model_type != "qwen3_vl_text":
        return config
    values = config.to_dict() | {"tie_word_embeddings": told.tie_word_embeddings}
    rope = {name: one for name, one in values["rope_parameters"].items() if not name.startswith("mrope")}
    del values["model_type"]
    return transformers.Qwen3Config(**values | {"rope_parameters": rope})


def _load(
    checkpoint: Checkpoint, saved: Saved, task: Any, dtype: torch.dtype, *, seeing: bool
) -> list[nn.Module]:
    weights = {**_LOCAL, "dtype": dtype, "use_safetensors": True}
    folder = str(saved.folder)
    try:
        if seeing:
            first: Any = _TextPart(checkpoint, saved, task, weights)
        elif saved.modules:
            place = saved.modules[0].path
            first = _Transformer.load(folder, subfolder=place, model_kwargs=weights, local_files_only=True)
        else:
            safe: Any = {"processor_kwargs": dict(_LOCAL), "config_kwargs": dict(_LOCAL)}
            first = _Transformer(folder, transformer_task=task, model_kwargs=weights, **safe)
        rest = [_MODULES[one.kind].load(folder, subfolder=one.path, **_LOCAL) for one in saved.modules[1:]]
    except Exception as error:  # whatever the libraries raise for a folder they can't use
        raise ModelLoadError(
            f"{checkpoint.config.file}: sentence-transformers {sentence_transformers.__version__} can't load "
            f"model_type {checkpoint.config.model_type!r:.80} as a cross-encoder: {error}"
        ) from error
    copied = _DENSE if task == "feature-extraction" else ""
    _check_report(checkpoint, first.report, task, unused=_UNUSED + (_EYES + copied if seeing else ""))
    return [first, *rest]


def _check_report(
    checkpoint: Checkpoint, report: Mapping[str, Any] | None, task: str, *, unused: str
) -> None:
    """Refuses a model of which a tensor was made up or left over."""
    if report is None:
        raise ModelLoadError(
            f"sentence-transformers {sentence_transformers.__version__} loads models in a way that is not "
            "known here: install a version that nvrerank[local] names"
        )
    for kind in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        spare = kind == "unexpected_keys" or (kind == "missing_keys" and task == "feature-extraction")
        for name in sorted(map(str, report[kind])):
            if not (spare and re.fullmatch(unused, name)):
                of = checkpoint.config.model_type
                raise ModelLoadError(f"{checkpoint.folder}: tensor {name} is among the {kind} of {of}")


def _answer_tokens(
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


def _longest_pair(transformer: Transformer, tokenizer: SavedTokenizer) -> int:
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


def _count_embeddings(transformer: Transformer) -> int:
    """How many token ids have an embedding."""
    model: Any = transformer.model
    try:
        return len(model.get_input_embeddings().weight)
    except NotImplementedError:  # CANINE hashes characters: every id has one
        return LARGEST


def _count_labels(modules: Sequence[nn.Module]) -> int:
    """How many scores a pair has."""
    last = modules[-1]
    if isinstance(last, Transformer):
        return int(last.model.config.num_labels)
    return last.out_features if isinstance(last, Dense) else 1


def _shrink_head(transformer: Transformer, answer: Sequence[int]) -> LogitScore:
    """Leaves of a head over the whole vocabulary the rows that the score is made of."""
    model: Any = transformer.model
    head = model.get_output_embeddings()
    bias = getattr(head, "bias", None)
    small = nn.Linear(head.weight.shape[1], len(answer), bias=bias is not None)
    small.weight = nn.Parameter(head.weight[list(answer)])
    if bias is not None:
        small.bias = nn.Parameter(bias[list(answer)])
    model.set_output_embeddings(small)
    return LogitScore(0, 1 if len(answer) > 1 else None)


def _quantize(transformer: Transformer, config: Config) -> None:
    """Puts 8-bit integers into the linear layers between embeddings and head."""
    model: Any = transformer.model
    base = model.base_model
    if not quantize(model, "" if base is model else f"{model.base_model_prefix}."):
        raise ModelLoadError(
            f"{config.file}: quantize='int8' finds no linear layers in this architecture: leave it out"
        )


def _exact_heads(modules: Sequence[nn.Module]) -> None:
    """Lets everything behind the layers compute in float32: scores of half precision tie."""
    transformer: Any = modules[0]
    base = transformer.model.base_model
    for child in transformer.model.children() if base is not transformer.model else ():
        if child is not base:
            child.float()
    base.register_forward_hook(lambda _module, _given, output: _exact(output))
    if isinstance(pooler := getattr(base, "pooler", None), nn.Module):
        pooler.float().register_forward_pre_hook(lambda _module, given: _exact(given))
    for module in modules[1:]:
        module.float()


def _exact(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(map(_exact, value))
    if isinstance(value, dict):  # an output of transformers
        for name, one in value.items():
            value[name] = _exact(one)
    return value


def _try(loaded: LoadedModel, config: Config, settings: LocalSettings) -> None:
    """Scores one pair, so that what can't be computed is known now."""
    query, passage = PROBES[0]
    [pair] = loaded.encoder.encode(query, [passage], LARGEST)
    pair = pair._replace(ids=pair.ids[: loaded.context], types=pair.types[: loaded.context])
    try:
        with torch.inference_mode():
            loaded.forward([pair])
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        how = "as a cross-encoder"
        if settings.quantize is not None:
            how = "with quantize='int8': leave it out"
        elif settings.dtype != torch.float32:
            how = f"in {settings.dtype}: give dtype='float32'"
        raise ModelLoadError(
            f"{config.file}: a {config.model_type} can't be computed {how}: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def _quiet(*, progress: bool) -> Iterator[None]:
    """Keeps transformers' bar and its remarks off the screen: what matters of them is an error here."""
    library: Any = logging
    bar, level = library.is_progress_bar_enabled(), library.get_verbosity()
    if not progress:
        library.disable_progress_bar()
    library.set_verbosity_error()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if bar:
            library.enable_progress_bar()
