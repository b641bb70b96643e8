"""An image from the web, for whoever asked: https, a public address, no redirect, within limits."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

import certifi

from .errors import ServiceUnavailableError

SECONDS = 10.0
"""From the connection to the last byte; names are looked up at the system's own pace."""

_PORT = 443
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64: an IPv4 address at its end (RFC 6052)
_HEADERS = {"Accept": "image/png, image/jpeg", "Accept-Encoding": "identity", "User-Agent": "nvrerank"}


def fetch_image(url: str, most: int) -> bytes:
    """Fetches what a URL holds, directly: proxies are not asked, since they would look the name up anew.

    Args:
        url: An https URL.
        most: Bytes that are read at most.

    Raises:
        ValueError: The URL is not one that is fetched, or its host answers otherwise than with an image.
        ServiceUnavailableError: The host can't be found or reached, or does not answer in time.
    """
    parts = _checked(url)
    host, port = str(parts.hostname), parts.port or _PORT
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with socket.create_connection((_public_address(host, port), port), timeout=SECONDS) as plain:
            return _asked(plain, host, port, target, most)
    except (OSError, http.client.HTTPException, UnicodeError) as error:  # an SSLError is an OSError
        raise ServiceUnavailableError(f"the image can't be fetched from {host}: {error}") from error


def is_public(address: str) -> bool:
    """Whether an IP address is on the internet, and no way to one that is not."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        within = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if within is None and ip in _TRANSLATED:
            within = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if within is not None:
            return is_public(str(within))
    return ip.is_global and not ip.is_multicast


def _checked(url: str) -> SplitResult:
    """The parts of a URL; no message repeats it, since it may hold a secret."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("the image's URL has characters that no URL has: percent-encode them")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the image's URL has a malformed host or port") from None
    if parts.scheme.lower() != "https" or not host:
        raise ValueError("the image's URL must begin with https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the image's URL holds a user name or password: fetch it yourself")
    return parts


def _public_address(host: str, port: int) -> str:
    """The address that is connected to: it is the one that was checked, however the name is answered next."""
    found = [str(place[0]) for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not found or not all(map(is_public, found)):
        raise ValueError(f"{host} is not on the public internet: its images are not fetched")
    return found[0]


def _asked(plain: socket.socket, host: str, port: int, target: str, most: int) -> bytes:
    trusted = ssl.create_default_context()
    trusted.load_verify_locations(certifi.where())
    with trusted.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False) as wire:
        late = threading.Timer(SECONDS, _hang_up, [wire])
        late.daemon = True
        late.start()
        try:
            wire.do_handshake()
            connection = http.client.HTTPSConnection(host, port)
            connection.sock = wire
            connection.request("GET", target, headers=_HEADERS)
            reply = connection.getresponse()
            if reply.status != HTTPStatus.OK:
                moved = ": redirects are not followed" if reply.status // 100 == 3 else ""  # noqa: PLR2004
                raise ValueError(f"{host} answers {reply.status} for the image{moved}")
            data = reply.read(most + 1)
            if len(data) <= most and reply.length:
                raise OSError(f"it broke off, or took more than {SECONDS:g} seconds")
        finally:
            late.cancel()
    return data


def _hang_up(wire: socket.socket) -> None:
    """Ends a conversation that drips on, under TLS's own state, which the reading thread holds."""
    with suppress(OSError):
        socket.socket.shutdown(wire, socket.SHUT_RDWR)
