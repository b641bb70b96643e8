"""What a process that serves does to its heap, and an application of one's own does not."""

import ctypes
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from server.conftest import until
from starlette.testclient import TestClient

from nvrerank import Scorer
from nvrerank.server import create_app, heap

ROOT = Path(__file__).parents[2]
SERVES = """
import gc, threading
from nvrerank import Scorer
from nvrerank.server import serve, serving

class Loaded(Scorer):
    def load(self):
        print("loaded with", gc.get_freeze_count(), flush=True)

    def _score(self, query, passages):
        raise NotImplementedError

class Server(serving.Server):
    async def on_tick(self, counter):
        if self._service.ready:
            threads = [one.name for one in threading.enumerate()]
            print("ready with", gc.get_freeze_count(), *threads, flush=True)
            return True
        return await super().on_tick(counter)

serving.Server = Server
serve(Loaded(), port=0)
"""


class Loaded(Scorer):
    def load(self):
        pass

    def _score(self, query, passages):
        return [1.0] * len(passages)


def test_serve_leaves_what_is_loaded_out_of_garbage_collections_and_returns_memory():
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "shared")}
    told = subprocess.run(
        [sys.executable, "-c", SERVES],
        env=environment,
        timeout=30,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    words = told.split()
    assert words[:3] == ["loaded", "with", "0"]
    assert words[3:5] == ["ready", "with"]
    assert int(words[5]) > 10_000
    assert "nvrerank-trim" in words[6:]


def test_an_application_of_ones_own_leaves_the_process_alone():
    before = gc.get_freeze_count()
    app = create_app(Loaded())
    with TestClient(app):
        until(lambda: app.state.service.ready)
    assert gc.get_freeze_count() == before
    assert all(one.name != "nvrerank-trim" for one in threading.enumerate())


@pytest.mark.skipif(sys.platform != "linux" or heap._trim is None, reason="glibc alone keeps what was freed")
def test_freed_memory_goes_back_to_the_system():
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    library.malloc.argtypes = (ctypes.c_size_t,)
    blocks = [library.malloc(4096) for _ in range(20_000)]  # too small to be mapped each by itself
    for block in blocks:
        ctypes.memset(block, 1, 4096)
    last = blocks.pop()  # holds the heap's end where it is
    for block in blocks:
        library.free(block)
    kept = _resident()
    heap.return_freed()
    assert kept - _resident() > 50
    library.free(last)


def _resident():
    """This process's memory, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_memory_is_returned_now_and_then_until_the_server_is_over(monkeypatch):
    returned = threading.Event()
    monkeypatch.setattr(heap, "_EVERY", 0.01)
    monkeypatch.setattr(heap, "_trim", lambda _pad: returned.set())
    with heap.trimmed_heap():
        [thread] = [one for one in threading.enumerate() if one.name == "nvrerank-trim"]
        assert returned.wait(10)
    thread.join(10)
    assert not thread.is_alive()
