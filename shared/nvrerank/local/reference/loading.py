"""Every other reranker, through sentence-transformers: the modules a folder lists, or a model's own head.

The library's modules compute. Which classes those are is decided here by name, before anything is imported by
one; what they are given is tokenised here, by the rules that every family keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import sentence_transformers
import torch
import transformers
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from torch import nn
from transformers.models.auto import modeling_auto
from transformers.utils import logging

from nvrerank.errors import ModelLoadError
from nvrerank.local.checkpoint import Checkpoint
from nvrerank.local.config import LARGEST, Config, Labels
from nvrerank.local.families import LoadedModel
from nvrerank.local.saved import Saved
from nvrerank.local.saved_tokenizer import SavedTokenizer
from nvrerank.local.settings import Settings

from .encoding import PROBES, answer_tokens, longest_pair, make_encoder
from .modules import (
    ReferenceModel,
    count_embeddings,
    count_labels,
    exact_heads,
    quantize_layers,
    shrink_head,
    together,
)
from .recipes import RECIPES, Recipe, find_recipe

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
_MODULES: dict[str, Any] = {
    "Dense": Dense,
    "LayerNorm": LayerNorm,
    "LogitScore": LogitScore,
    "Pooling": Pooling,
}
_UNUSED = r"(.*\.)?(pooler\.dense\.(weight|bias)|position_ids|inv_freq|lm_head\..*)|cls\..*"
_LOCAL: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}


def load_reference(
    checkpoint: Checkpoint, saved: Saved, settings: Settings, *, name: str, progress: bool
) -> LoadedModel:
    """Loads a folder that no fast path computes.

    Args:
        checkpoint: Its configuration and its tensors' names.
        saved: What sentence-transformers saved beside them.
        settings: What the layers compute in (heads: in float32), where, and which label means relevant.
        name: What the model is called; some are known by that alone.
        progress: Whether transformers may show its bar.

    Raises:
        ModelLoadError: A file asks for something that neither library nor package can do, or the files
            don't fit together; the message names the file.
    """
    config = checkpoint.config
    recipe = None if saved.modules else find_recipe(_names(name, saved.folder, config), _model_type(config))
    task = _task(config, saved, recipe)
    if task == "sequence-classification" and (named := config.section("id2label")):
        Labels.find(config, len(named.values), settings.label)  # before anything is loaded
    with _quiet(progress=progress):
        first, *rest = _load(checkpoint, saved, task, settings.dtype)
        transformer = cast("Transformer", first)
        tokenizer = SavedTokenizer.of(transformer.tokenizer, checkpoint.folder)
        tokenizer.fit(checkpoint.folder / "tokenizer.json", count_embeddings(transformer))
        encoder, modality = make_encoder(transformer, saved, recipe, tokenizer, config)
        if task == "text-generation":
            rest = [shrink_head(transformer, answer_tokens(rest, recipe, tokenizer, config))]
    modules = (transformer, *rest)
    model = ReferenceModel(
        modules=modules,
        labels=Labels.find(config, count_labels(modules), settings.label),
        device=settings.device,
        together=together(_model_type(config), transformer.config.pad_token_id, task),
        left=task == "text-generation",
        modality=modality,
    )
    _prepare(model, settings, config)
    context = min(longest_pair(transformer, tokenizer), recipe.context if recipe else LARGEST)
    loaded = LoadedModel(encoder, context, model)
    with _quiet(progress=progress):
        _try(loaded, config, int8=settings.quantize is not None)
    return loaded


def _task(config: Config, saved: Saved, recipe: Recipe | None) -> str:
    """What the transformer is loaded for."""
    config.expect("position_embedding_type", "absolute")
    model_type = _model_type(config)
    if model_type not in _TASKS["feature-extraction"]:
        raise ModelLoadError(
            f"{config.file}: transformers {transformers.__version__} knows no model_type "
            f"{model_type!r:.80}{config.own_code}"
        )
    asked = config.values.get("architectures")
    architecture = asked[0] if isinstance(asked, list) and asked and isinstance(asked[0], str) else None
    if saved.modules:
        task = str(saved.modules[0].config.values.get("transformer_task", "feature-extraction"))
    else:
        generates = architecture is not None and architecture.endswith("ForCausalLM")
        task = "text-generation" if generates else "sequence-classification"
    tables = _TRUNKS if task == "feature-extraction" else (_TASKS[task],)
    known = {one for table in tables for one in _several(table.get(model_type, ()))}
    if not known or (architecture is not None and architecture not in known):
        raise ModelLoadError(
            f"{config.file}: {architecture or model_type!r:.120} is no class of transformers for {task} by a "
            f"{model_type!r:.80}{config.own_code}; neither an embedding model nor a language model by "
            "itself is a reranker"
        )
    if task == "text-generation" and not saved.modules and recipe is None:
        raise ModelLoadError(
            f"{config.file}: {architecture} is a language model, and neither modules.json nor the folder's "
            f"name says how it ranks (known by name: {', '.join(one.name for one in RECIPES)}): save it as a "
            "CrossEncoder of sentence-transformers, or keep its model's name in the folder's"
        )
    return task


def _several(names: str | Sequence[str]) -> Sequence[str]:
    return (names,) if isinstance(names, str) else names


def _model_type(config: Config) -> str:
    return cast("str", config.values["model_type"])


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


def _load(checkpoint: Checkpoint, saved: Saved, task: Any, dtype: torch.dtype) -> list[nn.Module]:
    weights = {**_LOCAL, "dtype": dtype, "use_safetensors": True}
    folder = str(saved.folder)
    try:
        if saved.modules:
            place = saved.modules[0].path
            first = _Transformer.load(folder, subfolder=place, model_kwargs=weights, local_files_only=True)
        else:
            first = _Transformer(
                folder,
                transformer_task=task,
                model_kwargs=weights,
                processor_kwargs=dict(_LOCAL),
                config_kwargs=dict(_LOCAL),
            )
        rest = [_MODULES[one.kind].load(folder, subfolder=one.path, **_LOCAL) for one in saved.modules[1:]]
    except Exception as error:  # whatever the libraries raise for a folder they can't use
        raise ModelLoadError(
            f"{checkpoint.config.file}: sentence-transformers {sentence_transformers.__version__} can't load "
            f"model_type {_model_type(checkpoint.config)!r:.80} as a cross-encoder: {error}"
        ) from error
    _check_report(checkpoint, first.report, task)
    return [first, *rest]


def _check_report(checkpoint: Checkpoint, report: Mapping[str, Any] | None, task: str) -> None:
    """Refuses a model of which a tensor was made up or left over."""
    if report is None:
        raise ModelLoadError(
            f"sentence-transformers {sentence_transformers.__version__} loads models in a way that is not "
            "known here: install a version that nvrerank[local] names"
        )
    for kind in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        spare = kind == "unexpected_keys" or (kind == "missing_keys" and task == "feature-extraction")
        for name in sorted(map(str, report[kind])):
            if not (spare and re.fullmatch(_UNUSED, name)):
                raise ModelLoadError(
                    f"{checkpoint.folder}: tensor {name} is among the {kind} of "
                    f"{_model_type(checkpoint.config)}"
                )


def _prepare(model: ReferenceModel, settings: Settings, config: Config) -> None:
    if settings.quantize:
        quantize_layers(cast("Transformer", model.modules[0]), config)
    for module in model.modules:
        module.requires_grad_(requires_grad=False).eval().to(settings.device)
    if settings.dtype != torch.float32:
        exact_heads(model.modules)


def _try(loaded: LoadedModel, config: Config, *, int8: bool) -> None:
    """Scores one pair, so that what can't be computed is known now."""
    query, passage = PROBES[0]
    [pair] = loaded.encoder.encode(query, [passage], LARGEST)
    pair = pair._replace(ids=pair.ids[: loaded.context], types=pair.types[: loaded.context])
    try:
        with torch.inference_mode():
            loaded.forward([pair])
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        how = "with quantize='int8': leave it out" if int8 else "as a cross-encoder"
        raise ModelLoadError(
            f"{config.file}: a {_model_type(config)} can't be computed {how}: {type(error).__name__}: {error}"
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
