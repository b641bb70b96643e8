"""The page for a person, in a real browser. Without Chromium (Debian's package `chromium`) these tests are
skipped; where CI is set that is a failure, for CI installs it."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from server.conftest import running

from nvrerank import LocalScorer
from nvrerank.server import ServerSettings
from nvrerank.server.app import create_app

PAGE = Path(create_app.__code__.co_filename).parent / "page"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
in_a_browser = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ,
    reason="there is no Chromium on this machine: apt-get install chromium",
)
KEY = "sk-0123456789"


@pytest.fixture(scope="module")
def browser():
    assert CHROMIUM, "CI has to install Chromium"
    with sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(scope="module")
def locked():
    """A server that wants a key."""
    with running(LocalScorer(device="cpu", long_passages="truncate"), ServerSettings(api_key=KEY)) as one:
        yield one


@pytest.fixture
def page(browser, locked):
    """The page, open; whatever the browser complains of fails the test."""
    context = browser.new_context(viewport={"width": 1000, "height": 900}, color_scheme="light")
    one = context.new_page()
    complaints, asked = [], []
    one.on("pageerror", lambda error: complaints.append(str(error)))
    one.on(
        "console",
        lambda message: complaints.append(message.text) if "Content Security" in message.text else None,
    )
    one.on("request", lambda request: asked.append(request.url))
    one.goto(locked.url + "/")
    yield one
    context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith((locked.url, "data:"))] == []


def rank(page, query=None, passages=None):
    """Ranks the example, or these."""
    if query is None:
        page.click("#example")
    else:
        page.fill("#query", query)
        page.fill("#passages", passages)
    page.click("[type=submit]")
    page.wait_for_selector("#key:not([hidden]), #result:not([hidden])")
    if page.is_visible("#key") and not page.input_value("#key"):
        page.fill("#key", KEY)
        page.click("[type=submit]")
    page.wait_for_selector("#result:not([hidden])")


def texts(page):
    return [row.text_content() for row in page.query_selector_all("#table tbody td:last-child")]


@in_a_browser
def test_a_person_ranks_sees_what_moved_and_sets_a_threshold(page):
    rank(page)
    assert "iterable when its class" in texts(page)[0]
    assert "Bananas" in " ".join(texts(page)[1:])
    assert page.query_selector("#table [data-name=moved]").text_content() == "↑\u00a02"
    page.check("[name=order][value=before]")
    assert "sorted in place" in texts(page)[0]
    page.check("[name=order][value=rank]")
    assert "5 of 5 passages" in page.text_content("#kept")
    page.eval_on_selector(
        "#threshold", "one => { one.value = one.max; one.dispatchEvent(new Event('input')) }"
    )
    assert "1 of 5 passages" in page.text_content("#kept")
    assert len(page.query_selector_all("#table tr.cut")) == 4


@in_a_browser
def test_what_a_passage_says_is_text_and_never_markup(page):
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    rank(page, "what is <b>bold</b>?", f"{evil}\n\nplain words")
    assert any(evil in text for text in texts(page))
    assert page.query_selector("#table img, #table script, #table b") is None


@in_a_browser
def test_a_file_is_opened_or_dropped(page, tmp_path):
    (tmp_path / "notes.txt").write_text("one passage\r\n\r\nanother\n\n\n\nthird\n", encoding="utf-8")
    page.set_input_files("#file", tmp_path / "notes.txt")
    page.locator("#count", has_text="3 passages").wait_for()
    transfer = page.evaluate_handle(
        "() => { const all = new DataTransfer();all.items.add(new File(['a\\n\\nb'], 'b.txt')); return all; }"
    )
    page.dispatch_event("#passages", "drop", {"dataTransfer": transfer})
    page.locator("#count", has_text="2 passages").wait_for()


@in_a_browser
def test_a_refusal_is_shown_in_words(page):
    page.fill("#query", "   ")
    page.fill("#passages", "a")
    page.click("[type=submit]")
    page.wait_for_selector("#key:not([hidden])")
    assert "Authorization" in page.text_content("#say")
    page.fill("#key", KEY)
    page.click("[type=submit]")
    page.locator("#say", has_text="blank").wait_for()


@in_a_browser
def test_it_fits_a_narrow_screen(page):
    page.set_viewport_size({"width": 360, "height": 700})
    rank(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_page_loads_nothing_from_elsewhere_and_says_so(locked):
    answer = locked.client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src 'self';" in policy
    sources = "".join(file.read_text(encoding="utf-8") for file in PAGE.iterdir())
    assert "http://" not in sources
    assert "https://" not in sources
    assert " style=" not in sources
    assert {path for path in ("page/page.css", "page/page.js") if path in answer.text} == {
        "page/page.css",
        "page/page.js",
    }
