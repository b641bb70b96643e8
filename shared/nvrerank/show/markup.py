"""HTML whose text can't become markup: every child that is not itself made here is escaped. Pure."""

from __future__ import annotations

import html
import re

from nvrerank.texts import encodable

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # no browser shows them, some stumble


class Markup(str):
    """A string that is HTML already."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | int | None) -> Markup:
    """An element.

    Args:
        name: Its name, as this package writes it.
        children: Markup, or text, which is escaped.
        attributes: Names and values; values are escaped, those that are None left out. An underscore in a
            name stands for a hyphen, one at its end for nothing.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{told}>{joined(*children)}</{name}>")


def joined(*children: str) -> Markup:
    """Children one after the other, text escaped."""
    return Markup("".join(one if isinstance(one, Markup) else escaped(one) for one in children))


def escaped(text: str) -> str:
    """A text as it may stand in HTML, in an element or between quotes."""
    return html.escape(_CONTROLS.sub("\ufffd", encodable(text)), quote=True)
