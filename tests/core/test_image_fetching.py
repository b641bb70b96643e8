"""An image is fetched from the public internet over https, within limits, or not at all."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager

import pytest
import trustme
from support.images import png

from nvrerank import Passage, ServiceUnavailableError, image_fetching
from nvrerank.image_fetching import is_public

PUBLIC, HOST = "93.184.215.14", "images.example"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture
def web(monkeypatch, tmp_path):
    """A web of one server: web(reply) serves these bytes as images.example, whose addresses are `found`."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    @contextmanager
    def serve(reply, found=(PUBLIC,), *, drip=None):
        seen, asked = [], []
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(5)

        def answer():
            try:
                plain, _ = listener.accept()
                with context.wrap_socket(plain, server_side=True) as wire:
                    seen.append(wire.recv(4096))
                    wire.sendall(reply)
                    while drip and not drip.wait(0.02):
                        wire.sendall(b"x")
            except OSError:
                pass  # the client left

        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, port, **_: [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found
            ],
        )

        def connected(address, timeout):
            asked.append(address)
            wire = socket.socket()
            wire.settimeout(timeout)
            wire.connect(listener.getsockname())
            return wire

        monkeypatch.setattr(socket, "create_connection", connected)
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield seen, asked
        finally:
            if drip:
                drip.set()
            listener.close()
            thread.join(10)

    return serve


def fetched(url=f"https://{HOST}/a.png?size=1"):
    return Passage(image=url, fetch_images=True)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),  # noqa: S104 (nobody binds to it)
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fe80::1%2", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_what_is_on_the_internet_is_public(address, public):
    assert is_public(address) is public


@pytest.mark.parametrize("found", [("127.0.0.1",), (PUBLIC, "10.0.0.1"), ("169.254.169.254",), ("::1",)])
def test_a_name_of_this_network_is_refused_before_anything_is_asked(web, found):
    with web(b"", found) as (seen, asked), pytest.raises(ValueError, match="not on the public internet"):
        fetched()
    assert seen == asked == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://images.example/a.png", "must begin with https"),
        ("file://host/a.png", "must begin with https"),
        ("https://user:secret@images.example/a.png", "holds a user name"),
        ("https://images.example:port/a.png", "malformed"),
        ("https://images.example/a b.png", "characters"),
        ("https://bücher.example/a.png", "characters"),
    ],
)
def test_another_url_is_refused_and_not_repeated(url, words):
    with pytest.raises(ValueError, match=words) as caught:
        fetched(url)
    assert "secret" not in str(caught.value)


def test_the_address_that_was_checked_is_asked_for_the_image(web):
    with web(OK % len(png()) + png()) as (seen, asked):
        assert fetched().image == png()
    assert asked == [(PUBLIC, 443)]
    assert seen[0].startswith(b"GET /a.png?size=1 HTTP/1.1\r\nHost: images.example\r\n")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (
            b"HTTP/1.1 302 X\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            "302 .* redirects",
        ),
        (b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n", "answers 404"),
        (OK % 6 + b"<html>", "neither PNG nor JPEG"),
        (OK % (30 << 20) + png() + bytes(21 << 20), "larger than"),
    ],
)
def test_what_is_no_image_is_refused(web, reply, words):
    with web(reply), pytest.raises(ValueError, match=words):
        fetched()


def test_a_host_that_drips_on_is_left_after_a_while(web, monkeypatch):
    monkeypatch.setattr(image_fetching, "SECONDS", 0.3)
    with (
        web(OK % 10_000, drip=threading.Event()),
        pytest.raises(ServiceUnavailableError, match=r"0\.3 seconds"),
    ):
        fetched()


def test_a_certificate_that_is_not_trusted_is_an_outage(web, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with web(OK % 0), pytest.raises(ServiceUnavailableError, match=r"images\.example"):
        fetched()


def test_a_name_that_is_not_found_is_an_outage(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ServiceUnavailableError, match=r"can't be fetched from images\.example: .* not known"):
        fetched()
