"""How httpx clients are made: what they trust, what they send along, that they are watched."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any, TypeVar

import httpx

from nvrerank.errors import MissingExtraError, ServiceUnavailableError

from .credentials import ExtraHeaders, Key
from .deadline import AsyncWatchedBackend, AsyncWatchedStream, WatchedBackend
from .exchange import aset_location_aside, set_location_aside

_C = TypeVar("_C", httpx.Client, httpx.AsyncClient)

_KEEP_ALIVE = 30.0  # seconds an idle connection is kept
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": "nvrerank",
}
_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How clients are made.

    Attributes:
        key: Goes along with every request; None: no key does.
        headers: The caller's own.
        verify: True: SSL_CERT_FILE, SSL_CERT_DIR or certifi; a context; False: trust anybody.
        transport: The caller's own httpx transport; None: the network.
        connections: How many idle ones are kept.
        tls: Whether it can be needed: what is trusted takes long to load.
    """

    key: Key | None
    headers: ExtraHeaders
    verify: bool | ssl.SSLContext
    transport: object | None
    connections: int
    tls: bool


class ClientMaker:
    """Makes clients that share what they trust.

    Args:
        settings: How.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def client(self) -> httpx.Client:
        """A client for threads."""
        client = self._made(httpx.Client)
        for pool in self._pools(client):
            pool._network_backend = WatchedBackend(pool._network_backend)  # noqa: SLF001 (the one way in)
        return client

    def aclient(self, opened: Callable[[AsyncWatchedStream], object]) -> httpx.AsyncClient:
        """A client for one event loop.

        Args:
            opened: Called with each connection that it opens.
        """
        client = self._made(httpx.AsyncClient)
        for pool in self._pools(client):
            backend = pool._network_backend  # noqa: SLF001 (the one way in)
            pool._network_backend = AsyncWatchedBackend(backend, opened)  # noqa: SLF001
        return client

    def _made(self, kind: type[_C]) -> _C:
        aside = set_location_aside if kind is httpx.Client else aset_location_aside
        try:
            return kind(**self._options(), event_hooks={"response": [aside]})
        except ImportError as error:
            raise MissingExtraError("a SOCKS proxy needs socksio: pip install 'httpx[socks]'") from error
        except OSError as error:
            raise ServiceUnavailableError(
                f"SSL_CERT_FILE or SSL_CERT_DIR names no certificates ({error}): mend it, or pass verify=PATH"
            ) from error
        except (ValueError, httpx.InvalidURL):
            names = "HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"  # not their values, which may hold a password
        raise ServiceUnavailableError(f"one of {names} is no URL that can be used: mend or unset it")

    def _options(self) -> dict[str, Any]:
        """Arguments of a client. Connections are bounded by the scorer's places, not by httpx's queue."""
        settings = self._settings
        own = settings.transport
        return {
            "auth": _Credentials(settings.key, settings.headers),
            "headers": _HEADERS,
            "cookies": _NoCookies(),
            "verify": False if own else self._ssl_context(),
            "transport": own,
            "limits": httpx.Limits(
                max_connections=None,
                max_keepalive_connections=settings.connections,
                keepalive_expiry=_KEEP_ALIVE,
            ),
            "timeout": None,
            "follow_redirects": False,
        }

    def _pools(self, client: httpx.Client | httpx.AsyncClient) -> Iterator[Any]:
        """The connection pools behind a client, those to proxies too; none behind the caller's transport."""
        if self._settings.transport is None:
            for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 (no public name)
                if transport is not None:
                    yield transport._pool  # noqa: SLF001

    def _ssl_context(self) -> ssl.SSLContext:
        """What is trusted, loaded once: that takes long."""
        verify = self._settings.verify
        if isinstance(verify, ssl.SSLContext):
            return verify
        with self._lock:
            if self._context is None:
                tls = self._settings.tls
                self._context = httpx.create_ssl_context(verify=verify) if tls else _TRUSTS_NOBODY
            return self._context


class _NoCookies(CookieJar):
    """Reads none, so keeps none."""

    def extract_cookies(self, response: object, request: object) -> None:
        pass


class _Credentials(httpx.Auth):
    """Adds what may be secret as late as can be: no client or frame of ours holds it in plain."""

    def __init__(self, key: Key | None, headers: ExtraHeaders) -> None:
        self._key = key
        self._headers = headers

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers.update(self._headers.items())
        if self._key:
            request.headers["Authorization"] = self._key.bearer()
        yield request
