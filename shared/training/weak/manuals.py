"""Manuals of programming languages and libraries from Debian's packages, asked as people ask.

Some pages are huge and none is well-formed for certain: a page is cut, and every pattern is bounded.
"""

from __future__ import annotations

import html
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.weak import html_pages, pod
from training.weak.asking import Section, entry_of, question, usable
from training.weak.rows import Entries, Entry

LONGEST_PAGE = 500_000  # characters that are read of a page
SHORTEST_PAGE = 1_500  # bytes
METHODS = 30  # of a page
DOCSTRINGS = 3500  # questions

_EMPTY_LINK = re.compile(r"<a\b[^>]{0,400}>(?:[¶#§\s]|&para;|&sect;){0,3}</a>")
_SINCE = re.compile(r'<div class="api_metadata">.{0,8000}?</div>', re.DOTALL)  # Node's list of versions
_INLINE = re.compile(
    r"</?(?:a|abbr|b|code|em|i|kbd|samp|span|strong|sub|sup|tt|var|wbr)\b[^>]{0,1000}>", re.IGNORECASE
)
_TAG = re.compile(r"<[^>]{1,1000}>")
_TITLE = re.compile(r"<title>(.{0,300}?)</title>", re.DOTALL)
_SIGNATURE = re.compile(
    r"<dt[^>]{0,300}class=\"sig[^>]{0,300}>(.{0,1500}?)</dt>\s{0,20}<dd>(.{0,4000}?)(?=<dt|</dd>)", re.DOTALL
)
_SIGNED = re.compile(r"<dt[^>]{0,300}class=\"sig[^>]{0,300}>.{0,1500}?</dt>", re.DOTALL)
_DEFINED = re.compile(
    r"<dt[^>]{0,300}>(.{0,1500}?)</dt>\s{0,20}<dd[^>]{0,100}>(.{0,4000}?)(?=<dt|</dd>)", re.DOTALL
)
_DOCUMENTED = re.compile(r'<div class="docblock[^>]{0,100}>(.{0,8000}?)</div>', re.DOTALL)
_METHOD = re.compile(
    r'<h4 class="code-header">(?:(?!</h4>).){0,800}?\bfn (\w{1,80})(?:(?!<h4).){0,3000}?'
    r'<div class="docblock">(.{0,4000}?)</div>',
    re.DOTALL,
)
_AFTER_SIGNATURES = re.compile(r"</table>\s{0,20}(<p>.{0,6000}?)(?=<h3|<table)", re.DOTALL)

Reader = Callable[[str], Iterator[Section]]


def shown(page: str) -> str:
    """A page without what tears its words apart: tags inside a line, links that show a sign, versions."""
    return _INLINE.sub("", _SINCE.sub("", _EMPTY_LINK.sub("", page)))


def plain(fragment: str) -> str:
    """What a fragment of a page shows, in single spaces."""
    return " ".join(html.unescape(_TAG.sub(" ", fragment)).replace("[source]", "").split())


def pages(page: str) -> Iterator[Section]:
    """Any page: its headings, each with its text."""
    for heading, text in html_pages.sections(page):
        yield Section(heading.replace("[source]", "").strip("¶#§\u200b "), " ".join(text.split()))


def sphinx(page: str) -> Iterator[Section]:
    """A page made by Sphinx: what it documents, then its sections without the signatures."""
    for found in _SIGNATURE.finditer(page):
        yield Section(plain(found[1]).partition("(")[0], plain(found[2]), item=True)
    yield from pages(_SIGNED.sub("", page))


def rust(page: str) -> Iterator[Section]:
    """A page of the standard library, or of a book."""
    if 'class="rustdoc' not in page:
        yield from pages(page)
        return
    name = _title(page).removesuffix(" - Rust").partition(" in ")[0]
    whole = _DOCUMENTED.search(page)
    if whole:
        yield Section(name, plain(whole[1]), item=True)
    for _, found in zip(range(METHODS), _METHOD.finditer(page), strict=False):
        yield Section(f"{name.rpartition('::')[2]}::{found[1]}", plain(found[2]), item=True)


def cppreference(page: str) -> Iterator[Section]:
    """What stands below the signatures of a page."""
    found = _AFTER_SIGNATURES.search(page)
    if found:
        yield Section(_title(page).partition(" - cpp")[0], plain(found[1]), item=True)


def texinfo(page: str) -> Iterator[Section]:
    """A page made by makeinfo: its sections, and the functions it defines."""
    yield from pages(page)
    for found in _DEFINED.finditer(page):
        yield Section(plain(found[1]).strip(":¶ "), plain(found[2]), item=True)


def _title(page: str) -> str:
    found = _TITLE.search(page)
    return plain(found[1]) if found else ""


@dataclass(frozen=True)
class Manual:
    """A package's manual.

    Attributes:
        package: Debian's name for it.
        most: Entries that are made of it.
        read: A page to its sections.
        skipped: What the path of a page that teaches nothing has in it.
        pattern: Its pages.
    """

    package: str
    most: int
    read: Reader = pages
    skipped: str = r"genindex|search|changelog|release|whatsnew|history|_sources|_modules|news|modindex"
    pattern: str = "*.html"


_PERL = r"delta|perl(?:hist|toc|uniprops|todo|aix|amiga|bs2000|win32|vms|solaris|hpux|os2|os390|os400)"
_PYTHON = {
    "python-pandas-doc": 900,
    "python-django-doc": 1300,
    "python-sqlalchemy-doc": 700,
    "python-flask-doc": 250,
    "python-requests-doc": 120,
    "python-attr-doc": 120,
    "python-pytest-doc": 400,
    "python-click-doc": 200,
    "python-jinja2-doc": 150,
    "python-aiohttp-doc": 200,
    "python-psycopg2-doc": 120,
    "python-lxml-doc": 200,
    "python-tornado-doc": 250,
    "python-pil-doc": 250,
    "python-werkzeug-doc": 200,
    "python-scrapy-doc": 300,
    "python-pymongo-doc": 200,
    "python-cryptography-doc": 150,
    "python-arrow-doc": 40,
    "mypy-doc": 200,
}
MANUALS = (
    Manual("perl-doc", 2600, pod.sections, _PERL, "*.pod"),
    *(Manual(package, most, sphinx) for package, most in _PYTHON.items()),
    Manual("rust-doc", 2600, rust, r"/src/|search|print\.html|core_arch|/arch/|windows|help\.html"),
    Manual("cppreference-doc-en-html", 1500, cppreference),
    Manual("git-doc", 400),
    Manual("sqlite3-doc", 500),
    Manual("nodejs-doc", 900),
    Manual("octave-doc", 600, texinfo),
)


def entries(
    root: Path, documented: Entries, chance: random.Random, told: Sequence[Manual] = MANUALS
) -> dict[str, dict[str, Entry]]:
    """By page and place: of the packages unpacked below a folder, and of docstrings that open with a verb.

    What asks or begins as another one does is left out.
    """
    found, seen = dict[str, dict[str, Entry]](), set[str]()
    sources = [(one.most, told_by(one, root / one.package, chance)) for one in told]
    for most, candidates in [*sources, (DOCSTRINGS, asked(documented, chance))]:
        made = 0
        for key, entry in candidates:
            marks = {entry.query.lower(), entry.passage[:90]}
            if usable(entry) and not seen & marks:
                seen |= marks
                found[key] = {"en": entry}
                made += 1
            if made == most:
                break
    return found


def told_by(manual: Manual, folder: Path, chance: random.Random) -> Iterator[tuple[str, Entry]]:
    """A manual's entries, its pages in random order."""
    files = sorted(file for file in folder.rglob(manual.pattern) if not file.is_symlink())
    for file in chance.sample(files, len(files)):
        place = file.relative_to(folder.parent).as_posix()
        if re.search(manual.skipped, place) or file.stat().st_size < SHORTEST_PAGE:
            continue
        text = file.read_text(encoding="utf-8", errors="replace")[:LONGEST_PAGE]
        page = shown(text) if file.suffix == ".html" else text
        for number, section in enumerate(manual.read(page)):
            entry = entry_of(section, chance)
            if entry is not None:
                yield f"{place}#{number}", entry


def asked(documented: Entries, chance: random.Random) -> Iterator[tuple[str, Entry]]:
    """Docstrings whose summary opens with a verb, asked as a person would."""
    for key in chance.sample(sorted(documented), len(documented)):
        entry = documented[key]["en"]
        query = question(entry.query, chance)
        if query:
            yield key, Entry(query, " ".join(entry.passage.split()), entry.title)
