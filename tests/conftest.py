"""Set before torch is imported: tiny models are quickest on one thread, and OpenMP's waiting threads crawl on
a busy machine. Nothing is ever fetched from a model hub."""

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def ray_session():
    """One Ray for all tests that need it, on loopback only; its start takes 10 seconds."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")
    os.environ["RAY_AUTH_MODE"] = "disabled"
    import ray
    import ray.data

    if not ray.is_initialized():
        shared = str(Path(__file__).parents[1] / "shared")
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _node_ip_address="127.0.0.1",
            runtime_env={"env_vars": {"PYTHONPATH": shared, "OMP_NUM_THREADS": "1"}},
        )
    yield ray
    ray.shutdown()
