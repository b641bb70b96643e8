"""serve: the application in a process of its own, from its start to its last answer."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from nvrerank.scorer import Scorer

from .app import create_app
from .heap import freeze_heap, trimmed_heap
from .service import Service
from .settings import ServerSettings, check_reach

DRAIN_SECONDS = 25.0
_GRACE = 0.5  # seconds after a signal in which requests that are on their way are still taken
_HEADER_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 75  # longer than clients and proxies keep a connection, so that they close it first
_BACKLOG = 2048  # connections that wait to be accepted
_log = logging.getLogger("nvrerank.server")


def serve(
    scorer: Scorer,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    no_auth: bool = False,
    settings: ServerSettings | None = None,
) -> None:
    """Answers until SIGTERM or Ctrl-C, then finishes what it has taken, for at most 25 s.

    Args:
        scorer: What scores.
        host: The address to listen at.
        port: The port; 0: any that is free, which the log names.
        no_auth: Whether anybody who reaches another address than this machine's own may call without a key.
        settings: How it behaves.

    Raises:
        ValueError: Others would reach it, and neither a key nor `no_auth` was given.
        OSError: It can't listen there.
        NVRerankError: The model can't be loaded.
    """
    told = settings or ServerSettings()
    check_reach(host, keyed=told.api_key is not None, no_auth=no_auth)
    app = create_app(scorer, told)
    service: Service = app.state.service
    service.scorer.on_loaded = freeze_heap
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=_BACKLOG) as listener, trimmed_heap():
        shown = f"[{host}]" if ":" in host else host
        _log.info("%s at http://%s:%d/ (stop: Ctrl-C)", service.names[0], shown, listener.getsockname()[1])
        Server(app).run(sockets=[listener])
    if service.scorer.failure is not None:
        raise service.scorer.failure


class Server(uvicorn.Server):
    """uvicorn's server, which finishes what it has taken before it closes a connection, and exits with 0.

    Args:
        app: What `create_app` made.
    """

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(
            app,
            http=TimedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._service: Service = app.state.service
        self._draining: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drains at SIGTERM and SIGINT; a second one stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {
            one: signal.signal(one, lambda *_: loop.call_soon_threadsafe(self.drain)) for one in signals
        }
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def drain(self) -> None:
        """Takes nothing new and goes once all is answered."""
        if self._draining is not None:
            self.force_exit = self.should_exit = True
            return
        _log.info("stopping: %d requests are under way", self._service.requests)
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def on_tick(self, counter: int) -> bool:
        """Also ends a server whose model can't be loaded."""
        return await super().on_tick(counter) or self._service.scorer.failure is not None

    async def _drain(self) -> None:
        ends = time.monotonic() + DRAIN_SECONDS
        self._service.leaving = True
        await asyncio.sleep(_GRACE if self.server_state.connections else 0)
        self._service.draining = True
        while self._service.requests and time.monotonic() < ends:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        self._service.give_up()
        self.should_exit = True


class TimedProtocol(H11Protocol):
    """uvicorn's protocol, which waits only so long for the headers of a request."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Waits on, or no longer."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no longer."""
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        """Keeps one timer while headers are awaited; bytes that drip in do not put it off."""
        if self.conn.their_state is not h11.IDLE or self.timeout_keep_alive_task is not None:
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(_HEADER_SECONDS, self.timeout_keep_alive_handler)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
