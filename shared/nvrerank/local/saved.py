"""What sentence-transformers saved beside the weights: modules, prompts, activation; read with suspicion.

Every name of a class is compared with those known here before anything is imported, and every file of weights
is known to be safetensors before anything is opened; the folder itself names nothing that runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nvrerank.errors import ModelLoadError

from .checkpoint import Config

_MODULE = re.compile(r"sentence_transformers(?:\.\w+)*\.(Transformer|Pooling|Dense|LayerNorm|LogitScore)")
_MODEL_KWARGS = {"attn_implementation", "dtype", "torch_dtype"}
_CONFIG_KWARGS = {"num_labels", "classifier_dropout"}
_TOKENIZER_KWARGS = {"model_max_length", "padding_side", "truncation_side", "do_lower_case", "use_fast"}
_KWARGS = {
    **dict.fromkeys(("model_args", "model_kwargs"), _MODEL_KWARGS),
    **dict.fromkeys(("config_args", "config_kwargs"), _CONFIG_KWARGS),
    **dict.fromkeys(("tokenizer_args", "processor_kwargs"), _TOKENIZER_KWARGS),
}
_KEYS = {
    "Transformer": {
        *("transformer_task", "modality_config", "module_output_name", "max_seq_length", "do_lower_case"),
        *("processing_kwargs", "unpad_inputs"),
        *_KWARGS,
    },
    "Pooling": {
        *("word_embedding_dimension", "embedding_dimension", "pooling_mode", "include_prompt"),
        *("pooling_mode_cls_token", "pooling_mode_max_tokens", "pooling_mode_mean_tokens"),
        *("pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"),
    },
    "Dense": {
        *("in_features", "out_features", "bias", "activation_function"),
        *("module_input_name", "module_output_name", "use_residual"),
    },
    "LayerNorm": {"dimension"},
    "LogitScore": {"true_token_id", "false_token_id", "module_input_name"},
}
_LINEAR = {"torch.nn.modules.linear.Identity", "torch.nn.Identity"}
_LAYERS = _LINEAR | {
    f"torch.nn{path}.{name}"
    for path in ("", ".modules.activation")
    for name in ("ELU", "GELU", "LeakyReLU", "Mish", "ReLU", "SiLU", "Sigmoid", "Softplus", "Tanh")
}
_LOGITS = _LINEAR | {"torch.nn.modules.activation.Sigmoid", "torch.nn.Sigmoid"}
_ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")  # no hub kernels
_TRANSFORMER_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


@dataclass(frozen=True)
class Module:
    """One entry of modules.json.

    Attributes:
        kind: The class: "Transformer", "Pooling", "Dense", "LayerNorm" or "LogitScore".
        path: Its folder, from the model's; "" is the model's own.
        config: Its settings.
    """

    kind: str
    path: str
    config: Config


@dataclass(frozen=True)
class Saved:
    """A model's folder as sentence-transformers reads it.

    Attributes:
        folder: The model's folder.
        modules: What modules.json lists; empty without one.
        prompt: The default prompt, which belongs in front of the query or into the system's turn.
        prompted: Whether there is any prompt, so that its model knows such.
    """

    folder: Path
    modules: tuple[Module, ...] = ()
    prompt: str | None = None
    prompted: bool = False
    backbone: Path = field(init=False)

    def __post_init__(self) -> None:
        """Finds the folder of config.json: the transformer's."""
        object.__setattr__(self, "backbone", self.folder / (self.modules[0].path if self.modules else ""))

    @classmethod
    def read(cls, folder: Path) -> Saved:
        """Reads and checks modules.json and what it lists, and the activation wherever it is saved.

        Raises:
            ModelLoadError: A file asks for something that is not known, is no reranker, or is missing.
        """
        exports = [*folder.glob("*.gguf"), *folder.glob("**/*.onnx")]
        if exports and not any(folder.glob("**/*.safetensors")):
            raise ModelLoadError(
                f"{exports[0]} is an export for another program, and no safetensors are beside it: give "
                "the folder of the model that it was made from"
            )
        listed = folder / "modules.json"
        saved = _read_modules(folder, listed) if listed.is_file() else cls(folder)
        adapter = saved.backbone / "adapter_config.json"
        if adapter.is_file():
            raise ModelLoadError(
                f"{adapter}: this is a LoRA adapter, not a model: load it with peft, call merge_and_unload() "
                "and save the result with save_pretrained()"
            )
        _check_config(Config.read(saved.backbone / "config.json"))
        return saved

    @property
    def plain(self) -> bool:
        """Whether texts go to a transformer's own head, with nothing before and nothing after it."""
        if not self.modules:
            return True
        values = self.modules[0].config.values
        usual = ("transformer_task", "modality_config", "module_output_name")
        return (
            self.prompt is None
            and len(self.modules) == 1
            and not any(value for key, value in values.items() if key not in usual)
            and set(values.get("modality_config", ())) <= {"text"}
        )


def _read_modules(folder: Path, listed: Path) -> Saved:
    file = folder / "config_sentence_transformers.json"
    settings = Config.read(file) if file.is_file() else Config(file, {})
    kind = settings.values.get("model_type", "SentenceTransformer")
    if kind != "CrossEncoder":
        raise ModelLoadError(
            f"{settings.file}: model_type is {kind!r:.80}, not 'CrossEncoder': this model embeds texts, it "
            "scores no pairs"
        )
    _expect_activation(settings)
    entries = Config.read_list(listed)
    modules = tuple(_module(folder, entry) for entry in entries)
    kinds = [module.kind for module in modules]
    if not kinds or kinds[0] != "Transformer" or "Transformer" in kinds[1:]:
        raise ModelLoadError(f"{listed}: the first module, and no other, must be a Transformer, not {kinds}")
    _check_scores(listed, modules)
    prompts = settings.section("prompts")
    return Saved(folder, modules, _prompt(settings), any(prompts.values.values()) if prompts else False)


def _module(folder: Path, entry: Config) -> Module:
    name, path = entry.values.get("type"), entry.values.get("path")
    match = _MODULE.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise ModelLoadError(
            f"{entry.file}: type {name!r:.120} is none of sentence-transformers' modules that are known "
            f"({', '.join(_KEYS)}): other code is never imported"
        )
    if not isinstance(path, str) or Path(path).name != path or path == "..":
        raise entry.wrong("path", "a folder inside the model's")
    kind, place = match[1], folder / path
    names = _TRANSFORMER_FILES if kind == "Transformer" else ("config.json",)
    file = next((place / name for name in names if (place / name).is_file()), place / names[0])
    config = Config(file, {}) if kind == "Transformer" and not file.is_file() else Config.read(file)
    for key in sorted(config.values.keys() - _KEYS[kind]):
        raise ModelLoadError(f"{config.file}: {key} is no setting of {kind} that is known")
    if kind in ("Dense", "LayerNorm") and not (place / "model.safetensors").is_file():
        raise ModelLoadError(
            f"{place} holds no model.safetensors: weights as pickle (pytorch_model.bin) can run code and are "
            "never opened: save the model anew"
        )
    if kind == "Dense":
        config.expect("activation_function", *_LAYERS)
    if kind == "Transformer":
        _check_transformer(config)
    return Module(kind, path, config)


def _check_transformer(config: Config) -> None:
    tasks = ("sequence-classification", "text-generation", "feature-extraction", "any-to-any")
    config.expect("transformer_task", *tasks)
    for name, known in _KWARGS.items():
        section = config.section(name)
        for key in sorted(section.values.keys() - known if section else ()):
            raise ModelLoadError(f"{config.file}: {name}.{key} is no setting that is known")
    for name in ("model_args", "model_kwargs"):
        if section := config.section(name):
            section.expect("attn_implementation", *_ATTENTION)
    modalities = config.section("modality_config")
    for modality, way in (modalities.values if modalities else {}).items():
        if modality in ("text", "message") and (
            not isinstance(way, dict) or way.get("method", "forward") != "forward"
        ):
            raise config.wrong("modality_config", "one that calls the model's forward")


def _check_scores(listed: Path, modules: tuple[Module, ...]) -> None:
    last = modules[-1]
    task, given = (last.config.values.get(name) for name in ("transformer_task", "module_output_name"))
    if last.kind != "LogitScore" and (last.kind, task, given) not in (
        ("Transformer", "sequence-classification", given),
        ("Dense", task, "scores"),
    ):
        raise ModelLoadError(
            f"{listed}: its last module, a {last.kind}, makes no scores: is this an embedding model?"
        )
    for module in modules:
        if module.kind == "Pooling" and module.config.values.get("include_prompt") is False:
            raise module.config.wrong("include_prompt", "true")


def _prompt(settings: Config) -> str | None:
    prompts, name = settings.section("prompts"), settings.values.get("default_prompt_name")
    if name is None:
        return None
    prompt = prompts.values.get(str(name)) if prompts else None
    if not isinstance(prompt, str):
        raise settings.wrong("default_prompt_name", "the name of one of its prompts")
    return prompt or None


def _check_config(config: Config) -> None:
    if config.values.get("quantization_config"):
        raise ModelLoadError(
            f"{config.file}: quantization_config: quantised weights are not read: use the original checkpoint"
        )
    for section in (config, config.section("sentence_transformers")):
        if section is not None:
            _expect_activation(section)
    _expect_attention(config.file, config.values)


def _expect_activation(config: Config) -> None:
    for name in ("activation_fn", "sbert_ce_default_activation_function"):
        value = config.values.get(name)
        if value is not None and value not in tuple(_LOGITS):  # a list can't be looked up in a set
            raise ModelLoadError(
                f"{config.file}: {name} is {value!r:.120}: scores are the logits before an Identity or a "
                "Sigmoid, and no other activation is known"
            )


def _expect_attention(file: Path, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name.endswith("attn_implementation") and isinstance(value, str) and value not in _ATTENTION:
            raise ModelLoadError(
                f"{file}: {name} is {value!r:.80}: kernels from the hub are code and never run"
            )
        if isinstance(value, dict):
            _expect_attention(file, value)
