"""Who takes part, as data: workers (a process each), and what is swept to find a peer's best settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OURS = "nvrerank"
BATCHES = (1, 2, 4, 8, 16, 32, 64)
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
_ENCODERS = ("minilm",)
_ALL = ("minilm", "llama", "mistral")
Settings = dict[str, Any]


@dataclass(frozen=True)
class WorkerSpec:
    """A process.

    Attributes:
        name: Unique; names the log.
        adapter: A module of `adapters`.
        venv: The virtual environment's folder; "" for the benchmark's own.
        options: What the adapter is made with.
        environment: Variables it is given; without any, all is at the library's defaults.
        twins: How many of the adapter share the work, in a thread each.
    """

    name: str
    adapter: str
    venv: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    twins: int = 1


@dataclass(frozen=True)
class Peer:
    """A library, or a way of using one.

    Attributes:
        name: In the report and on the command line.
        workers: The first is measured at the defaults, and each at the best of its sweep.
        default: Settings as the library has them.
        sweep: Settings among which the best is looked for, on each worker by itself.
        checkpoints: Those it can run.
        precision: "fp32" or "int8"; int8 is no same-work comparison and stands apart.
    """

    name: str
    workers: tuple[WorkerSpec, ...]
    default: Settings = field(default_factory=dict)
    sweep: tuple[Settings, ...] = ()
    checkpoints: tuple[str, ...] = _ENCODERS
    precision: str = "fp32"


def _sizes(**fixed: Any) -> tuple[Settings, ...]:
    return tuple({"batch_size": size, **fixed} for size in BATCHES)


def _both_orders() -> tuple[Settings, ...]:
    return (*_sizes(by_length=True), *_sizes(by_length=False))


def _with_twins(
    name: str, adapter: str, venv: str, options: Mapping[str, Any] | None = None, **one_thread: Any
) -> tuple[WorkerSpec, ...]:
    """A worker at the library's defaults, and one of two threads that each run a model on one thread."""
    options = options or {}
    return (
        WorkerSpec(name, adapter, venv, options),
        WorkerSpec(f"{name}, 2 x 1 thread", adapter, venv, {**options, **one_thread}, _ONE_THREAD, twins=2),
    )


def _runtime(name: str, adapter: str, precision: str) -> Peer:
    options = {"precision": precision}
    workers = _with_twins(f"{name}-{precision}", adapter, ".venv-peers", options, threads=1)
    default = {"batch_size": 32, "by_length": False}
    return Peer(f"{name}-{precision}", workers, default, _both_orders(), precision=precision)


REFERENCE = WorkerSpec("reference", "naive", ".venv-peers")
PROBE = WorkerSpec("probe", "probe")

_HAND_SORTED = _both_orders()
PEERS = (
    Peer(OURS, (WorkerSpec(OURS, "ours"),), checkpoints=_ALL),
    Peer(
        f"{OURS}-int8", (WorkerSpec(f"{OURS}-int8", "ours", options={"quantize": "int8"}),), precision="int8"
    ),
    Peer(
        "sentence-transformers",
        _with_twins("sentence-transformers", "cross_encoder", ".venv-peers"),
        {"batch_size": 32},
        _sizes(),
        _ALL,
    ),
    *(
        Peer(
            f"sentence-transformers-{backend}",
            _with_twins(
                f"sentence-transformers-{backend}", "cross_encoder", ".venv-backends", {"backend": backend}
            ),
            {"batch_size": 32},
            _sizes(),
        )
        for backend in ("onnx", "openvino")
    ),
    Peer(
        "transformers-naive",
        (WorkerSpec("transformers-naive", "naive", ".venv-peers"),),
        {"batch_size": 32},
        checkpoints=_ALL,
    ),
    Peer(
        "flagembedding",
        _with_twins("flagembedding", "flag_embedding", ".venv-flag"),
        {"batch_size": 128},
        _sizes(),
    ),
    Peer(
        "rerankers",
        _with_twins("rerankers", "answer_rerankers", ".venv-peers"),
        {"batch_size": 16},
        _HAND_SORTED,
    ),
    Peer("flashrank", (WorkerSpec("flashrank", "flash_rank", ".venv-peers"),)),
    _runtime("onnxruntime", "onnx_runtime", "fp32"),
    _runtime("onnxruntime", "onnx_runtime", "int8"),
    _runtime("openvino", "open_vino", "fp32"),
    _runtime("openvino", "open_vino", "int8"),
    Peer(
        "infinity",
        (WorkerSpec("infinity", "infinity", ".venv-infinity"),),
        {"batch_size": 32},
        _sizes(),
    ),
)


def chosen(names: str | None, checkpoint: str) -> list[Peer]:
    """The peers of a comma-separated list, ours always first; None: all that can run the checkpoint.

    Raises:
        ValueError: A name is not known.
    """
    known = {peer.name: peer for peer in PEERS}
    wanted = list(known) if names is None else [OURS, *names.split(",")]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no such peer: {unknown[0]}; there are {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(wanted) if checkpoint in known[name].checkpoints]
