"""A server's own words, made safe to show: no key, no text of the call, no control characters. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

MOST = 500
"""Characters of a reason."""

_MOST_TEXT = 300  # of a reply that is no JSON
_READ = 8_000  # characters of a reply that are looked at
_BLOCK = 8  # an echo of twice this, less one, holds such a block at a multiple of it
_ECHO = 16  # shorter runs of a passage may be anybody's words
_NVIDIA_KEY = re.compile(r"nvapi-[A-Za-z0-9_-]+")
_MEMBERS = ("detail", "title", "message", "error")


def reason_of(body: bytes, *, secrets: Sequence[str], texts: Sequence[str]) -> str | None:
    """Why a server refused, in its words.

    Args:
        body: The reply: JSON with one of the usual members, or text.
        secrets: What to remove wherever it stands.
        texts: The query and passages that were sent; long runs of them are removed, too.

    Returns:
        At most 500 characters, control characters escaped; None: the reply says nothing.
    """
    text = body[: 4 * _READ].decode("utf-8-sig", "replace")
    try:
        said, most = _from_json(json.loads(text)), MOST
    except (ValueError, RecursionError):
        said, most = text, _MOST_TEXT
    return clean(said, secrets=secrets, texts=texts)[:most].strip() or None


def clean(said: str, *, secrets: Sequence[str], texts: Sequence[str] = ()) -> str:
    """Removes secrets and echoes, escapes control characters, cuts at 500 characters."""
    said = said[:_READ]
    for secret in sorted(secrets, key=len, reverse=True):
        said = said.replace(secret, "[key]")
    said = _without_echoes(_NVIDIA_KEY.sub("[key]", said), texts)
    return "".join(map(_visible, said))[:MOST]


def _from_json(reply: object) -> str:
    """The first of the usual members that says something."""
    if isinstance(reply, str):
        return reply
    if not isinstance(reply, dict):
        return ""
    return next(filter(None, (_words(reply.get(name)) for name in _MEMBERS)), "")


def _words(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):  # FastAPI's: the `input` of each is left out, it is the caller's text
        return "; ".join(_validation(one) for one in value[:10] if isinstance(one, dict))
    return _from_json(value)


def _validation(problem: dict[str, object]) -> str:
    place = problem.get("loc")
    parts = place if isinstance(place, list) else []
    where = ".".join(str(part) for part in parts if isinstance(part, str | int))
    return f"{where}: {problem.get('msg')}" if where else str(problem.get("msg"))


def _without_echoes(said: str, texts: Sequence[str]) -> str:
    for text in texts:
        if len(text) > 2 and text in said:  # noqa: PLR2004 (removing "a" would leave nothing to read)
            said = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", "[text]", said)
    everything = "\n".join(texts)
    start = 0
    while start + _BLOCK <= len(said) and start < MOST:  # what comes after is cut off
        echo = _echo_around(said, start, everything)
        if echo is None:
            start += _BLOCK
        else:
            said = said[: echo[0]] + "[text]" + said[echo[1] :]
            start = echo[0] + len("[text]")
    return said


def _echo_around(said: str, start: int, everything: str) -> tuple[int, int] | None:
    """The longest run of the call's texts that holds this block, if it is long enough to be an echo."""
    end = start + _BLOCK
    if said[start:end] not in everything:
        return None
    while start > 0 and said[start - 1 : end] in everything:
        start -= 1
    while end < len(said) and said[start : end + 1] in everything:
        end += 1
    return (start, end) if end - start >= _ECHO else None


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def printable(header: str | None) -> str | None:
    """A request's id as it may be shown; None: there is none, or it is no such thing."""
    return header if header and re.fullmatch(r"[\w.:/+=-]{1,128}", header, re.ASCII) else None
