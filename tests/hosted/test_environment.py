"""Certificates and proxies, from arguments and from the environment, in sync and async alike."""

import ssl
import time
import traceback

import pytest
import trustme
from fake_nim import steps, truth

from nvrerank import MissingExtraError, ServiceUnavailableError


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("certificates") / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def secure(nim, authority):
    """A fake NIM over https, for this name."""

    def start(*steps, name="127.0.0.1"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return nim(*steps, tls=context)

    return start


def right(scores):
    return scores == [truth("q", "a")]


def test_a_bundle_of_ones_own_is_trusted(secure, hosted, score, bundle):
    for verify in (bundle, str(bundle), ssl.create_default_context(cafile=bundle), False):
        assert right(score(hosted(secure(), verify=verify), "q", ["a"]))


def test_the_environments_bundle_is_trusted(secure, hosted, score, bundle, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert right(score(hosted(secure()), "q", ["a"]))


@pytest.mark.parametrize("name", ["127.0.0.1", "elsewhere.example"])
def test_what_is_not_trusted_is_not_tried_again_and_names_verify(secure, hosted, score, bundle, name):
    server = secure(name=name)
    scorer = hosted(server, verify=True if name == "127.0.0.1" else bundle)
    begun = time.monotonic()
    with pytest.raises(ServiceUnavailableError, match=r"CERTIFICATE_VERIFY_FAILED.*verify=PATH") as caught:
        score(scorer, "q", ["a"])
    assert (caught.value.tries, server.seen) == (1, [])
    assert time.monotonic() - begun < 2


def test_https_to_a_server_that_speaks_http_is_not_tried_again(nim, hosted, score):
    server = nim()
    with pytest.raises(ServiceUnavailableError, match="no trusted connection"):
        score(hosted(server, base_url=server.url.replace("http:", "https:")), "q", ["a"])
    assert server.accepted == 1


def test_ready_says_that_a_certificate_is_not_trusted(secure, hosted, ask):
    with pytest.raises(ServiceUnavailableError, match="verify="):
        ask(hosted(secure()), "ready")


def test_a_deadline_holds_over_tls(secure, hosted, score, bundle):
    scorer = hosted(secure(steps.drip(0.05)), verify=bundle, timeout=0.5)
    begun = time.monotonic()
    with pytest.raises(ServiceUnavailableError, match=r"timeout=0\.5 s"):
        score(scorer, "q", ["a"])
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_environments_proxy_is_used(nim, hosted, score, monkeypatch, variable):
    proxy = nim()
    monkeypatch.setenv(variable, f"http://{proxy.host}")
    assert right(score(hosted(model="m", base_url="http://nim.example:8000/v1"), "q", ["a"]))
    assert proxy.seen[0].path == "http://nim.example:8000/v1/ranking"


def test_the_environments_proxy_is_used_for_https(nim, secure, hosted, score, bundle, monkeypatch):
    proxy, server = nim(), secure(name="nim.example")
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
    port = server.address[1]
    assert right(
        score(hosted(model="m", base_url=f"https://nim.example:{port}/v1", verify=bundle), "q", ["a"])
    )
    assert proxy.asked == [f"nim.example:{port}"]
    assert server.seen


def test_no_proxy_is_heard(nim, hosted, score, monkeypatch):
    server = nim()
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert right(score(hosted(server), "q", ["a"]))


@pytest.mark.parametrize("proxy", ["nonsense://u:s3cret@p", "http://u:s3cret@[::1", "http://u:s3cret@p:port"])
def test_a_proxy_that_is_no_url_is_an_error_of_ours_that_shows_no_password(hosted, score, monkeypatch, proxy):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ServiceUnavailableError, match=r"one of HTTP_PROXY.* is no URL") as caught:
        score(hosted(model="m", base_url="http://nim.example/v1"), "q", ["a"])
    shown = "".join(traceback.format_exception(caught.value))
    assert "s3cret" not in shown


def test_a_bundle_of_the_environment_that_is_not_there_is_an_error_of_ours(
    hosted, score, monkeypatch, tmp_path
):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ServiceUnavailableError, match=r"SSL_CERT_FILE.*verify=PATH"):
        score(hosted(model="m", base_url="https://nim.example/v1"), "q", ["a"])


def test_a_proxy_that_wants_another_package_names_it(hosted, score, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(MissingExtraError, match=r"pip install 'httpx\[socks\]'"):
        score(hosted(model="m", base_url="http://nim.example/v1"), "q", ["a"])
