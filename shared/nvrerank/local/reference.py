"""Every other reranker, through sentence-transformers: the modules that a folder lists, or a model's own head.

Its modules compute; what they are given is tokenised here, held against the library's own preprocessing when the
model is loaded. Sequences of a batch are padded where the architecture is known not to mind, and computed with
others of their own length alone where it isn't.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import sentence_transformers
import torch
import transformers
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from torch import Tensor, nn
from transformers.models.auto import configuration_auto, modeling_auto
from transformers.utils import logging

from nvrerank.errors import ModelLoadError

from .checkpoint import Checkpoint
from .config import LARGEST, Config
from .families import LoadedModel
from .labels import Labels
from .prompt import PASSAGE, QUERY, PairEncoder, PiecesEncoder, TemplateEncoder, TokenPair
from .quantized import quantize
from .recipes import RECIPES, Recipe, find_recipe
from .saved import Saved
from .saved_tokenizer import SavedTokenizer
from .settings import Settings

_TASKS: dict[str, Mapping[str, Any]] = {
    "sequence-classification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "text-generation": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "feature-extraction": modeling_auto.MODEL_MAPPING_NAMES,
}
_TRUNKS = (*_TASKS.values(), modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
_CLASSES = {"Dense": Dense, "LayerNorm": LayerNorm, "LogitScore": LogitScore, "Pooling": Pooling}
_PADDED = {  # a mask keeps padding out of every sum; held against single pairs by a test
    *(
        "albert",
        "bert",
        "camembert",
        "data2vec-text",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "ernie",
    ),
    *("gemma", "gemma2", "gemma3_text", "llama", "mistral", "modernbert", "mpnet", "phi3", "qwen2", "qwen3"),
    *("rembert", "roberta", "xlm-roberta", "xlm-roberta-xl"),
}
_NOT_NEEDED = r"(.*\.)?(pooler\.dense\.(weight|bias)|position_ids|inv_freq)|lm_head\..*|cls\..*|.*lm_head\..*"
_PROBES = (("Who wrote it?", "The sea, 1,000 times."), ("a", "b c\nd"), ("x  y ", " The End!"))


@dataclass(frozen=True)
class _Model:
    """Modules one after another, as a CrossEncoder calls them."""

    modules: tuple[nn.Module, ...]
    labels: Labels
    device: torch.device
    together: str  # "padded", "length": those of one length, "alone"
    left: bool
    modality: str

    def __call__(self, batch: Sequence[TokenPair]) -> Tensor:
        keys = {
            "padded": lambda _: 0,
            "length": lambda place: len(batch[place].ids),
            "alone": lambda place: place,
        }
        key = keys[self.together]
        groups = [list(group) for _, group in groupby(sorted(range(len(batch)), key=key), key=key)]
        logits = torch.cat([self._forward([batch[place] for place in group]) for group in groups])
        back = torch.tensor([place for group in groups for place in group], device=logits.device)
        return torch.empty_like(logits).index_copy_(0, back, logits)

    def _forward(self, batch: Sequence[TokenPair]) -> Tensor:
        features = self._features(batch)
        for module in self.modules:
            features = module(features)
        scores = features["scores"].float()  # [pairs, labels]
        return self.labels.logit(scores)

    def _features(self, batch: Sequence[TokenPair]) -> dict[str, Any]:
        width = max(len(pair.ids) for pair in batch)
        filler = cast("Any", self.modules[0]).model.config.pad_token_id or 0

        def rows(each: Callable[[TokenPair], Sequence[int]], padding: int) -> Tensor:
            padded = []
            for pair in batch:
                row, rest = list(each(pair)), [padding] * (width - len(pair.ids))
                padded.append(rest + row if self.left else row + rest)
            return torch.tensor(padded, device=self.device)  # [pairs, width]

        mask = rows(lambda pair: [1] * len(pair.ids), 0)
        features: dict[str, Any] = {
            "input_ids": rows(lambda pair: pair.ids, filler),
            "attention_mask": mask,
            "modality": self.modality,
        }
        if batch[0].types:
            features["token_type_ids"] = rows(lambda pair: pair.types, 0)
        if self.left:
            features["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        return features


def load_reference(
    checkpoint: Checkpoint,
    saved: Saved,
    settings: Settings,
    *,
    name: str,
    progress: bool,
) -> LoadedModel:
    """Loads a folder that no fast path computes.

    Args:
        checkpoint: Its configuration and its tensors' names.
        saved: What sentence-transformers saved beside them.
        settings: What the layers compute in (heads: in float32), where, and which label means relevant.
        name: What the model is called; some are known by that alone.
        progress: Whether transformers may show its bar.

    Raises:
        ModelLoadError: A file asks for something that neither library nor package can do, or the files don't fit
            together; the message names the file.
    """
    config = checkpoint.config
    recipe = None if saved.modules else find_recipe(_names(name, saved.folder, config), _model_type(config))
    task = _task(config, saved, recipe)
    if task == "sequence-classification" and (named := config.section("id2label")):
        Labels.find(config, len(named.values), settings.label)  # before anything is loaded
    with _quiet(progress=progress):
        modules = _load(checkpoint, saved, task, settings.dtype)
        first = cast("Transformer", modules[0])
        tokenizer = SavedTokenizer.of(first.tokenizer, checkpoint.folder)
        rows = first.model.get_input_embeddings().num_embeddings
        tokenizer.fit(checkpoint.folder / "tokenizer.json", rows)
        encoder, modality = _encoder(first, saved, recipe, tokenizer, config)
        if task == "text-generation":
            modules[1:] = [_small_head(first, _answer(modules[1:], recipe, tokenizer, config))]
    labels = Labels.find(config, _count(modules), settings.label)
    if settings.quantize:
        _quantize(first.model, config)
    for module in modules:
        module.requires_grad_(requires_grad=False).eval().to(settings.device)
    if settings.dtype != torch.float32:
        _heads_in_float32(modules)
    built = first.model.config
    model_type = _model_type(config)
    model = _Model(
        modules=tuple(modules),
        labels=labels,
        device=settings.device,
        together=_together(model_type, built.pad_token_id, task),
        left=task == "text-generation",
        modality=modality,
    )
    loaded = LoadedModel(
        encoder,
        min(_context(first, tokenizer), recipe.context if recipe else LARGEST),
        model,
    )
    _try(loaded, config, int8=settings.quantize is not None)
    return loaded


def _task(config: Config, saved: Saved, recipe: Recipe | None) -> str:
    """What the transformer is loaded for: checked by names, before anything is imported by them."""
    config.expect("position_embedding_type", "absolute")
    model_type, code = _model_type(config), config.values.get("auto_map") is not None
    own = "; auto_map names code of the folder's own, which is never run" if code else ""
    if model_type not in configuration_auto.CONFIG_MAPPING_NAMES:
        raise ModelLoadError(
            f"{config.file}: transformers {transformers.__version__} knows no model_type {model_type!r:.80}{own}"
        )
    asked = config.values.get("architectures")
    architecture = asked[0] if isinstance(asked, list) and asked and isinstance(asked[0], str) else None
    if saved.modules:
        task = str(saved.modules[0].config.values.get("transformer_task", "feature-extraction"))
    else:
        generates = architecture is not None and architecture.endswith("ForCausalLM")
        task = "text-generation" if generates else "sequence-classification"
    tables = _TRUNKS if task == "feature-extraction" else (_TASKS[task],)
    known = {name for table in tables for name in _several(table.get(model_type, ()))}
    if not known or (architecture is not None and architecture not in known):
        heads = "a trunk for a head" if task == "feature-extraction" else "a head that scores pairs"
        raise ModelLoadError(
            f"{config.file}: transformers' {model_type!r:.80} has no {architecture or task!r:.120} with "
            f"{heads}{own}: an embedding or language model is no reranker"
        )
    if task == "text-generation" and not saved.modules and recipe is None:
        raise ModelLoadError(
            f"{config.file}: {architecture} is a language model, and neither modules.json nor the folder's name says "
            f"how it ranks (known by name: {', '.join(one.name for one in RECIPES)}): save it as a CrossEncoder of "
            "sentence-transformers, or keep its model's name in the folder's"
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


def _load(checkpoint: Checkpoint, saved: Saved, task: str, dtype: torch.dtype) -> list[nn.Module]:
    local: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    weights = {**local, "dtype": dtype, "use_safetensors": True}
    folder = str(saved.folder)
    try:
        if not saved.modules:
            first = _Checked(
                folder,
                transformer_task=task,
                model_kwargs=weights,
                processor_kwargs=dict(local),
                config_kwargs=dict(local),
            )
            rest = []
        else:
            first = _Checked.load(
                folder, subfolder=saved.modules[0].path, model_kwargs=weights, local_files_only=True
            )
            rest = [_CLASSES[one.kind].load(folder, subfolder=one.path, **local) for one in saved.modules[1:]]
    except ModelLoadError:
        raise
    except Exception as error:  # whatever the libraries raise for a folder they can't use
        raise ModelLoadError(
            f"{checkpoint.config.file}: sentence-transformers {sentence_transformers.__version__} can't load "
            f"model_type {_model_type(checkpoint.config)!r:.80} as a cross-encoder: {error}"
        ) from error
    _check_report(checkpoint, first, task)
    return [first, *rest]


class _Checked(Transformer):
    """The library's transformer, which keeps what transformers says of the tensors that it read."""

    report: Mapping[str, Any] | None = None

    def _load_model(
        self,
        model_name_or_path: str,
        transformer_task: Any,
        config: Any,
        backend: str,
        *_: Any,
        **kwargs: Any,
    ) -> Any:
        kinds = {
            "sequence-classification": transformers.AutoModelForSequenceClassification,
            "text-generation": transformers.AutoModelForCausalLM,
            "feature-extraction": transformers.AutoModel,
        }
        model, self.report = kinds[transformer_task].from_pretrained(
            model_name_or_path, config=config, output_loading_info=True, **kwargs
        )
        return model


def _check_report(checkpoint: Checkpoint, first: _Checked, task: str) -> None:
    """Refuses a model of which a tensor was made up or left over."""
    if first.report is None:
        raise ModelLoadError(
            f"sentence-transformers {sentence_transformers.__version__} loads models in a way that is not known here: "
            "install a version that nvrerank[local] names"
        )
    for kind in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        for name in sorted(map(str, first.report[kind])):
            unused = kind == "unexpected_keys" or (kind == "missing_keys" and task == "feature-extraction")
            if not (unused and re.fullmatch(_NOT_NEEDED, name)):
                raise ModelLoadError(
                    f"{checkpoint.folder}: tensor {name} is among the {kind} of {_model_type(checkpoint.config)}"
                )


def _encoder(
    first: Transformer, saved: Saved, recipe: Recipe | None, tokenizer: SavedTokenizer, config: Config
) -> tuple[PairEncoder, str]:
    """What tokenises pairs, and the modality under which the library would: held against it on some pairs."""
    if recipe is not None:
        return _recipe_encoder(recipe, tokenizer, config), "text"
    try:
        unpadded: Any = {"text": {"padding": False}}
        wanted = [
            first.preprocess([pair], prompt=saved.prompt, processing_kwargs=unpadded) for pair in _PROBES
        ]
    except Exception as error:  # whatever the library raises: a template without the roles, a broken one
        raise ModelLoadError(f"{saved.folder}: sentence-transformers can't read a pair: {error}") from error
    encoder: PairEncoder
    if "message" in first.modality_config:
        encoder, modality = _chat_encoder(first, saved, tokenizer), "message"
    else:
        encoder, modality = _template_encoder(first, saved, tokenizer, config), "text"
    longest = _context(first, tokenizer)
    for (query, passage), features in zip(_PROBES, wanted, strict=True):
        ids = features["input_ids"][0].tolist()
        [pair] = encoder.encode(query, [passage], LARGEST)
        if len(ids) < longest and list(pair.ids) != ids:
            raise ModelLoadError(
                f"{saved.folder}: sentence-transformers {sentence_transformers.__version__} tokenises pairs of this "
                "folder otherwise than is known here"
            )
    return encoder, modality


def _template_encoder(
    first: Transformer, saved: Saved, tokenizer: SavedTokenizer, config: Config
) -> TemplateEncoder:
    model_type = _model_type(config)
    decoder = str(_TASKS["text-generation"].get(model_type, "")).endswith("ForCausalLM")
    if decoder and model_type not in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not saved.modules:
        warnings.warn(
            f"{saved.folder}: a {model_type} is scored without a prompt, since the folder names none: if it was "
            "trained with one, save it as a CrossEncoder of sentence-transformers with its chat template",
            stacklevel=2,
        )
    takes = "token_type_ids" in inspect.signature(first.model.forward).parameters
    relative = model_type in ("funnel", "xlnet")  # types are compared, not looked up
    kinds = LARGEST if relative else getattr(first.model.config, "type_vocab_size", None)
    typed = takes and (
        tokenizer.typed == "yes" if kinds is None else kinds > 0 and tokenizer.types(config.file, kinds)
    )
    return TemplateEncoder(tokenizer.backend, typed=typed, prompt=saved.prompt or "", side=tokenizer.side)


def _chat_encoder(first: Transformer, saved: Saved, tokenizer: SavedTokenizer) -> PiecesEncoder:
    formatter, settings = first.input_formatter, dict(first.processing_kwargs.get("chat_template", {}))
    for name in ("max_length", "padding", "restore_suffix", "return_tensors", "truncation"):
        settings.pop(name, None)

    def rendered(query: str, passage: str) -> str:
        messages = [formatter.pair_to_messages((query, passage))]
        if saved.prompt:
            messages = formatter.prepend_prompt_to_messages(messages, saved.prompt)
        return str(first.processor.apply_chat_template(messages[0], tokenize=False, **settings))

    whole = rendered(QUERY, PASSAGE)
    for change in (str, str.strip):
        if all(
            whole.replace(QUERY, change(query)).replace(PASSAGE, change(passage)) == rendered(query, passage)
            for query, passage in _PROBES
        ):
            try:
                return PiecesEncoder(tokenizer.backend, [whole], stripped=change is not str)
            except ValueError:
                break
    raise ModelLoadError(
        f"{saved.folder}: its chat template does more than put query and passage in their places"
    )


def _recipe_encoder(recipe: Recipe, tokenizer: SavedTokenizer, config: Config) -> PiecesEncoder:
    added = {token.content for token in tokenizer.backend.get_added_tokens_decoder().values()}
    for mark in recipe.markers:
        if mark not in added:
            raise ModelLoadError(
                f"{config.file.parent / 'tokenizer.json'} has no token {mark}, which the prompt of {recipe.name} needs"
            )
    return PiecesEncoder(tokenizer.backend, recipe.pieces)


def _answer(
    rest: Sequence[nn.Module], recipe: Recipe | None, tokenizer: SavedTokenizer, config: Config
) -> tuple[int, ...]:
    """The tokens whose logits make the score: yes, and no if it is subtracted."""
    file = config.file.parent / "tokenizer.json"
    if recipe is None:
        if (
            len(rest) != 1
            or not isinstance(rest[0], LogitScore)
            or rest[0].module_input_name != "causal_logits"
        ):
            raise ModelLoadError(f"{config.file.parent}: a language model is followed by one LogitScore")
        found: list[int | None] = [rest[0].true_token_id]
        found += [] if rest[0].false_token_id is None else [rest[0].false_token_id]
    else:
        words = [recipe.yes] if recipe.no is None else [recipe.yes, recipe.no]
        found = [tokenizer.backend.token_to_id(word) for word in words]
    ids = tokenizer.backend.get_vocab_size(with_added_tokens=True)
    answer = tuple(one for one in found if isinstance(one, int) and 0 <= one < ids)
    if len(answer) != len(found):
        raise ModelLoadError(f"{file} has not the tokens that answer: {found}")
    return answer


def _small_head(first: Transformer, answer: tuple[int, ...]) -> LogitScore:
    """Leaves of the head over the whole vocabulary the rows that the score is made of."""
    head = first.model.get_output_embeddings()
    small = nn.Linear(head.weight.shape[1], len(answer), bias=getattr(head, "bias", None) is not None)
    small.weight = nn.Parameter(head.weight[list(answer)])
    if small.bias is not None:
        small.bias = nn.Parameter(head.bias[list(answer)])
    first.model.set_output_embeddings(small)
    return LogitScore(0, 1 if len(answer) > 1 else None)


def _count(modules: Sequence[nn.Module]) -> int:
    last = modules[-1]
    if isinstance(last, Transformer):
        return int(last.model.config.num_labels)
    return last.out_features if isinstance(last, Dense) else 1


def _together(model_type: str, pad: int | None, task: str) -> str:
    """Which pairs are computed in one batch."""
    if pad is None and task == "sequence-classification":
        return "alone"
    return "padded" if model_type in _PADDED else "length"


def _context(first: Transformer, tokenizer: SavedTokenizer) -> int:
    """Tokens of a pair: what tokenizer, configuration and the table of positions allow.

    RoBERTa and its kin use no positions up to the padding token's id.
    """
    limits = [tokenizer.longest, first.processing_kwargs.get("text", {}).get("max_length") or LARGEST]
    stated = getattr(first.model.config, "max_position_embeddings", -1)
    limits.append(stated if isinstance(stated, int) and stated > 0 else LARGEST)
    for name, module in first.model.named_modules():
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in ("position_embeddings", "wpe"):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - unused)
    return min(limits)


def _quantize(model: Any, config: Config) -> None:
    base = model.base_model
    if not quantize(model, "" if base is model else f"{model.base_model_prefix}."):
        raise ModelLoadError(
            f"{config.file}: quantize='int8' finds no linear layers in a {_model_type(config)}: leave it out"
        )


def _heads_in_float32(modules: Sequence[nn.Module]) -> None:
    """Lets everything behind the layers compute in float32: scores of half precision tie."""
    model = cast("Any", modules[0]).model
    base = model.base_model
    for child in model.children() if base is not model else ():
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


def _try(loaded: LoadedModel, config: Config, *, int8: bool) -> None:
    """Scores one pair, so that what can't be computed is known now."""
    query, passage = _PROBES[0]
    pairs = [
        pair for pair in loaded.encoder.encode(query, [passage], LARGEST) if len(pair.ids) <= loaded.context
    ]
    try:
        with torch.inference_mode():
            loaded.forward(pairs)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        how = "with quantize='int8': leave it out" if int8 else "as a cross-encoder"
        raise ModelLoadError(
            f"{config.file}: a {_model_type(config)} can't be computed {how}: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def _quiet(*, progress: bool) -> Iterator[None]:
    """Keeps transformers' bar and its remarks off the screen: what matters of them is an error here."""
    bar, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    if not progress:
        logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
