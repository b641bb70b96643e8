"""What is compared, as data: workers (a process each), and what is swept to find a peer's best settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.local.engines.base import BatchSettings

OURS = "nvrerank"
"""Our default, which all ratios are taken to."""
PRECISIONS = ("float32", "bfloat16", "int8")
BATCHES = (1, 2, 4, 8, 16, 32, 64)
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
_ENCODERS = ("minilm",)
_ALL = ("minilm", "llama", "mistral")


@dataclass(frozen=True)
class WorkerSpec:
    """A process."""

    name: str  # unique; names the log
    engine: str  # MODULE.CLASS in `engines`
    venv: str = ""  # the virtual environment's folder; "" for the benchmark's own
    options: Mapping[str, Any] = field(default_factory=dict)  # what the engine is made with
    environment: Mapping[str, str] = field(default_factory=dict)  # none: the library's defaults
    replicas: int = 1  # how many of the engine share the work, in a thread each


@dataclass(frozen=True)
class Peer:
    """A library, or a way of using one."""

    name: str
    workers: tuple[WorkerSpec, ...]  # the first is measured at the defaults, each at the best of its sweep
    default: BatchSettings = field(default_factory=dict)  # as the library has them
    sweep: tuple[BatchSettings, ...] = ()  # among these the best is looked for, on each worker by itself
    checkpoints: tuple[str, ...] = _ENCODERS  # those it can run
    precision: str = "float32"  # one of `PRECISIONS`; a lower one is not the same work and stands apart


def _ours(name: str, precision: str, checkpoints: tuple[str, ...], **options: Any) -> Peer:
    worker = WorkerSpec(name, "ours.Ours", options=options)
    return Peer(name, (worker,), checkpoints=checkpoints, precision=precision)


def _replicated(
    name: str, engine: str, venv: str, *, threads: Mapping[str, int] | None = None, **options: Any
) -> tuple[WorkerSpec, ...]:
    """A worker at the library's defaults, and one of two single-threaded replicas."""
    single = {**options, **(threads or {})}
    two = WorkerSpec(f"{name}, 2 x 1 thread", engine, venv, single, _ONE_THREAD, replicas=2)
    return WorkerSpec(name, engine, venv, options), two


def _sizes(**fixed: Any) -> tuple[BatchSettings, ...]:
    return tuple({"batch_size": size, **fixed} for size in BATCHES)


def _transformers(name: str, venv: str, precision: str, checkpoints: tuple[str, ...], **options: Any) -> Peer:
    workers = _replicated(name, "cross_encoder.SentenceTransformers", venv, **options)
    return Peer(name, workers, {"batch_size": 32}, _sizes(), checkpoints, precision)


def _runtime(library: str, engine: str, precision: str) -> Peer:
    """One that is given padded batches, which the benchmark sorts by length or does not."""
    name = f"{library}-{precision}"
    workers = _replicated(name, engine, ".venv-peers", threads={"threads": 1}, precision=precision)
    default = {"batch_size": 32, "by_length": False}
    return Peer(name, workers, default, _BOTH_ORDERS, precision=precision)


_BOTH_ORDERS = (*_sizes(by_length=True), *_sizes(by_length=False))
_NAIVE, _ST = "naive.Naive", "sentence-transformers"
REFERENCE = WorkerSpec("reference", _NAIVE, ".venv-peers")
GEMM = WorkerSpec("gemm", "gemm.Gemm")
PEERS = (
    _ours(OURS, "float32", _ALL),  # its precision is the machine's choice: see `chosen`
    _ours(f"{OURS}-float32", "float32", _ALL, dtype="float32"),
    _ours(f"{OURS}-bfloat16", "bfloat16", _ALL, dtype="bfloat16"),
    _ours(f"{OURS}-int8", "int8", _ENCODERS, quantize="int8"),
    _transformers(_ST, ".venv-peers", "float32", _ALL),
    _transformers(f"{_ST}-bfloat16", ".venv-peers", "bfloat16", _ALL, dtype="bfloat16"),
    _transformers(f"{_ST}-onnx", ".venv-backends", "float32", _ENCODERS, backend="onnx"),
    _transformers(f"{_ST}-openvino", ".venv-backends", "float32", _ENCODERS, backend="openvino"),
    Peer(
        "transformers-naive",
        (WorkerSpec("transformers-naive", _NAIVE, ".venv-peers"),),
        {"batch_size": 32},
        checkpoints=_ALL,
    ),
    Peer(
        "flagembedding",
        _replicated("flagembedding", "flag_embedding.FlagEmbedding", ".venv-flag"),
        {"batch_size": 128},
        _sizes(),
    ),
    Peer(
        "rerankers",
        _replicated("rerankers", "answerdotai.Rerankers", ".venv-peers"),
        {"batch_size": 16, "by_length": False},
        _BOTH_ORDERS,
    ),
    Peer("flashrank", (WorkerSpec("flashrank", "flash_rank.FlashRank", ".venv-peers"),)),
    _runtime("onnxruntime", "onnx_runtime.OnnxRuntime", "float32"),
    _runtime("onnxruntime", "onnx_runtime.OnnxRuntime", "int8"),
    _runtime("openvino", "open_vino.OpenVino", "float32"),
    _runtime("openvino", "open_vino.OpenVino", "bfloat16"),
    _runtime("openvino", "open_vino.OpenVino", "int8"),
    Peer(
        "infinity",
        (WorkerSpec("infinity", "infinity.Infinity", ".venv-infinity"),),
        {"batch_size": 32},
        _sizes(),
    ),
)
LOWER_PRECISION = tuple(peer.name for peer in PEERS if peer.precision != "float32")


def chosen(names: str | None, checkpoint: str, precision: str) -> list[Peer]:
    """The peers of a comma-separated list, ours always first; None: all that can run the checkpoint.

    `precision` is that of our default on this machine, which is not measured twice.

    Raises:
        ValueError: A name is not known.
    """
    known = {peer.name: peer for peer in PEERS}
    known[OURS] = replace(known[OURS], precision=precision)
    wanted = list(known) if names is None else [OURS, *names.split(",")]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no such peer: {unknown[0]}; there are {', '.join(known)}")
    own = f"{OURS}-{precision}"
    return [
        known[name] for name in dict.fromkeys(wanted) if name != own and checkpoint in known[name].checkpoints
    ]
