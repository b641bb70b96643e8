"""Reads replies strictly: a permutation of finite numbers, or BadResponseError. Pure.

Messages name places and types of what is wrong, never what the server wrote: it may echo a passage.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

from nvrerank.errors import BadResponseError

from .messages import Usage

REPORT = "report it to whoever runs the server"

_BEGUN = re.compile(r"t(ru?)?|f(a(ls?)?)?|n(ul?)?|-|\.?([eE][+-]?)?")  # a token that may go on, or nothing
_BEGUN_ESCAPE = re.compile(r"u?[0-9a-fA-F]{0,4}")


class CutReplyError(BadResponseError):
    """The reply is the beginning of JSON, so another try may bring all of it."""


def dumps(body: object) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def parsed(body: bytes) -> object:
    """JSON as the standard has it: no duplicate keys, no NaN, no depth that runs out of stack.

    A byte order mark before it is left out (RFC 8259 lets a reader do so); it must be UTF-8.

    Raises:
        CutReplyError: It is the beginning of JSON.
        BadResponseError: It is something else.
    """
    kind = BadResponseError
    try:
        return json.loads(body.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        problem = "is nested too deeply"
    except _RefusedJSONError as error:
        problem = str(error)
    except ValueError as error:
        problem, kind = ("stops half way", CutReplyError) if _is_cut(error) else ("is not JSON", kind)
    raise kind(f"the reply {problem}: {REPORT}")


def member(reply: object, key: str) -> object:
    """`reply[key]` of an object that has it.

    Raises:
        BadResponseError: The reply is no object or lacks the key.
    """
    if not isinstance(reply, dict):
        raise BadResponseError(f"the reply is a JSON {type(reply).__name__}, not an object: {REPORT}")
    if key not in reply:
        raise BadResponseError(f"the reply has no {key!r}: {REPORT}")
    return reply[key]


def in_input_order(items: object, count: int, *, score: str) -> list[float]:
    """Scores by their `index`.

    Args:
        items: What should be a list of objects, each with an `index` and a score.
        count: Passages sent; the indices must be exactly 0..count-1.
        score: The score's key.

    Raises:
        BadResponseError: An index is missing, twice there, out of range or no integer, or a score is
            not a finite number.
    """
    if not isinstance(items, list):
        raise BadResponseError(f"the reply's scores are a JSON {type(items).__name__}, not a list: {REPORT}")
    if len(items) != count:
        raise BadResponseError(f"the reply has {len(items)} scores for {count} passages: {REPORT}")
    by_index: dict[int, float] = {}
    for place, item in enumerate(items):
        by_index[_index(item, count, place)] = _number(item, score, place)
    if len(by_index) != count:
        raise BadResponseError(f"the reply has only {len(by_index)} different indices of {count}: {REPORT}")
    return [by_index[index] for index in range(count)]


def usage(reply: object, passages: int) -> Usage:
    """What the server counted, where it tells it as numbers: in `usage`, or in Cohere's `meta`."""
    told, meta = _inner(reply, "usage"), _inner(reply, "meta")
    tokens = _inner(meta, "tokens")
    prompt, output = _count(tokens.get("input_tokens")), _count(tokens.get("output_tokens"))
    total = None if prompt is None else prompt + (output or 0)
    return Usage(
        passages,
        requests=1,
        prompt_tokens=_count(told.get("prompt_tokens", prompt)),
        total_tokens=_count(told.get("total_tokens", total)),
        search_units=_count(_inner(meta, "billed_units").get("search_units")),
    )


def model_ids(reply: object) -> list[str]:
    """Ids of `{"data": [{"id": ...}]}`, base models before LoRA adapters (whose `root` is another id).

    Raises:
        BadResponseError: It is not such a list.
    """
    data = member(reply, "data")
    if not (isinstance(data, list) and all(isinstance(one, dict) and is_name(one.get("id")) for one in data)):
        raise BadResponseError(f"the list of models is malformed: {REPORT}")
    data.sort(key=lambda one: one.get("root") not in (None, one["id"]))
    return [one["id"] for one in data]


def is_name(value: object) -> bool:
    """Whether a request could name a model so."""
    return isinstance(value, str) and value.isprintable() and value != ""


def _is_cut(error: ValueError) -> bool:
    """Whether it is the beginning of JSON; nothing at all is none."""
    if isinstance(error, UnicodeDecodeError):
        return error.end == len(error.object) and error.reason == "unexpected end of data"
    if not isinstance(error, json.JSONDecodeError) or not error.doc.strip():
        return False
    begun = _BEGUN_ESCAPE if error.msg.startswith("Invalid \\u") else _BEGUN
    rest = error.doc[error.pos :].strip()
    return error.msg.startswith("Unterminated string") or bool(begun.fullmatch(rest))


class _RefusedJSONError(ValueError):
    """Valid to Python's parser, not to us."""


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RefusedJSONError("has an object with a key twice")
    return members


def _constant(name: str) -> object:
    raise _RefusedJSONError(f"holds {name}, which is not JSON")


def _index(item: object, count: int, place: int) -> int:
    index = item.get("index") if isinstance(item, dict) else None
    if type(index) is not int:  # a bool is an int, too
        raise BadResponseError(f"score {place} of the reply has no integer index: {REPORT}")
    if not 0 <= index < count:
        raise BadResponseError(f"score {place} of the reply is for a passage that was not sent: {REPORT}")
    return index


def _number(item: object, key: str, place: int) -> float:
    value = item.get(key) if isinstance(item, dict) else None
    if type(value) not in (int, float):
        raise BadResponseError(f"score {place} of the reply has no number as {key!r}: {REPORT}")
    try:
        number = float(value)  # type: ignore[arg-type]  # int or float, as the line above has it
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadResponseError(f"score {place} of the reply is not finite: {REPORT}")
    return number


def _inner(reply: object, key: str) -> dict[str, object]:
    inner = reply.get(key) if isinstance(reply, dict) else None
    return inner if isinstance(inner, dict) else {}


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
