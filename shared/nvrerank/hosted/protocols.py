"""The protocols of ranking APIs: what a request's body holds, and how a reply is read. Pure.

A new protocol is a record in `PROTOCOLS`. Replies are read strictly: a permutation of finite numbers, or
`BadResponseError`, whose message names places and types, never what the server wrote: it may echo a passage.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nvrerank import batches
from nvrerank.errors import BadResponseError, RequestRejectedError
from nvrerank.images import Passage, has_image
from nvrerank.scorer import Scale
from nvrerank.windows import Truncate

MOST_BYTES = 4_500_000
"""Of a request's body: NVIDIA's gateway takes 5 MB."""

REPORT = "report it to whoever runs the server"

_FRAME = 1_000  # bytes of a body beside query and passages; a model's name has at most 128 characters
_ITEM = 16  # bytes around one passage
_AROUND_IMAGE = 96  # vLLM's list takes more than a NIM's member
_WORST = 6  # bytes that one character may become
_BEGUN = re.compile(r"t(ru?)?|f(a(ls?)?)?|n(ul?)?|-|\.?([eE][+-]?)?")  # a token that may go on, or nothing
_BEGUN_ESCAPE = re.compile(r"u?[0-9a-fA-F]{0,4}")


class CutReplyError(BadResponseError):
    """The reply is the beginning of JSON, so another try may bring all of it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call, or one request of it, cost by the server's count.

    Attributes:
        passages: Passages scored.
        requests: Requests that were answered with scores.
        prompt_tokens: None where the server does not tell.
        total_tokens: None where the server does not tell.
        search_units: What Cohere bills; None where the server does not tell.
    """

    passages: int = 0
    requests: int = 0
    prompt_tokens: int | None = None
    total_tokens: int | None = None
    search_units: int | None = None


def total_usage(each: Sequence[Usage]) -> Usage:
    """What several requests cost together; None: none of them told."""
    told = {name: [n for one in each if (n := getattr(one, name)) is not None] for name in Usage.__slots__}
    return Usage(**{name: sum(counts) for name, counts in told.items() if counts})


@dataclass(frozen=True, slots=True)
class Scores:
    """A reply, read: one finite score a passage, in input order."""

    logits: list[float]
    usage: Usage


@dataclass(frozen=True, slots=True)
class ApiProtocol:
    """How one kind of server is asked.

    Attributes:
        name: What `protocol=` calls it.
        verb: Last part of the endpoint's path.
        root: The endpoint's path under a base_url that does not end in a version.
        body: (query, passages, truncate, whether raw scores are asked for) -> the body, but for the model.
        read: (passages sent, reply's body) -> scores; raises BadResponseError.
        read_models: Models reply's body -> ids, the base model first; raises BadResponseError.
        models: Path that lists the models; from the API's version, or from the server's root ("/...").
        health: Likewise, the path that tells whether the server is ready.
        scale: What its scores are if raw ones are asked for; None: that depends on the server.
        images: Whether there is a place for images beside texts.
        batch: Passages a request when the caller does not say.
        needs_model: Whether a request names its model.
        optional: Members of the body that a server may refuse, and that are then left out.
        instruction: Members of the body that hold an instruction; empty: it has no place for one.
    """

    name: str
    verb: str
    root: str
    body: Callable[[str, list[str], Truncate | None, bool], dict[str, Any]]
    read: Callable[[int, bytes], Scores]
    read_models: Callable[[bytes], list[str]]
    models: str = "/v1/models"
    health: str = "/health"
    scale: Scale | None = "logit"
    images: bool = True
    batch: int = 512
    needs_model: bool = True
    optional: frozenset[str] = frozenset()
    instruction: tuple[str, ...] = ()


def plan_requests(
    query: str, passages: Sequence[str], at_most: int, *, strict: bool, more: int = 0, whole: bool = False
) -> list[list[int]]:
    """Which passages go in one request, in order.

    Args:
        query: Goes along with each.
        passages: What to score.
        at_most: Passages a request.
        strict: Whether the server refuses more than 4.5 MB; else a longer passage goes by itself.
        more: Bytes of what else goes along with each.
        whole: Whether all must go in one, since their scores depend on each other.

    Raises:
        RequestRejectedError: Query or passage is too long for any request; `index` names the passage. Or all
            must go in one, and they are too many for it.
    """
    frame = _FRAME + more + sum(_image_size(one) for one in passages if isinstance(one, Passage))
    bound = MOST_BYTES if strict or not whole else sys.maxsize  # another server refuses a list for itself
    if (sum(map(len, passages)) + len(query)) * _WORST + len(passages) * _ITEM + frame < bound:
        plan = batches.by_count(len(passages), at_most)
    else:
        plan = _by_bytes(query, passages, at_most, more, strict=strict)
    if whole and len(plan) > 1:
        limit = f"max_batch_size={at_most}" if len(passages) > at_most else f"{bound} bytes"
        raise RequestRejectedError(
            f"a listwise model takes a list in one request, and {len(passages)} passages are too many for it "
            f"({limit}): give it fewer, as Cascade does"
        )
    return plan


def _by_bytes(
    query: str, passages: Sequence[str], at_most: int, more: int, *, strict: bool
) -> list[list[int]]:
    budget = MOST_BYTES - _FRAME - more - _size(query)
    sizes = [_size(passage) + _image_size(passage) + _ITEM for passage in passages]
    if strict and max(sizes) > budget:
        index = sizes.index(max(sizes)) if budget > 0 else None
        remedy = "scale its image down" if index is not None and has_image(passages[index]) else "shorten it"
        raise RequestRejectedError(
            f"a request holds at most {MOST_BYTES} bytes with its query: {remedy}", index=index
        )
    return batches.by_bytes(sizes, budget, at_most=at_most)


def _size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())


def _image_size(passage: str) -> int:
    """Bytes of an image as a data URL, and of what stands around it; 0: there is none."""
    image = passage.image if isinstance(passage, Passage) else None
    return _AROUND_IMAGE + (len(image) + 2) // 3 * 4 if image else 0


def _nim_body(query: str, passages: list[str], truncate: Truncate | None, raw: bool) -> dict[str, Any]:
    """A NIM gives logits alone; `top_n` is not sent: it is refused."""
    items = [_nim_passage(one) if isinstance(one, Passage) else {"text": one} for one in passages]
    request: dict[str, Any] = {"query": {"text": query}, "passages": items}
    return request if truncate is None else request | {"truncate": truncate}


def _nim_passage(passage: Passage) -> dict[str, str]:
    """Whatever there is of text and image; an empty text is refused."""
    parts = {"text": passage.text, "image": passage.image_url}
    return {name: part for name, part in parts.items() if part is not None}


def _read_nim(count: int, reply: bytes) -> Scores:
    answer = parsed(reply)
    return Scores(_in_input_order(_member(answer, "rankings"), count, "logit"), _usage(answer, count))


_COHERE_RAW = {"use_activation": False, "activation": False, "raw_scores": True}
"""What asks for logits: vLLM since 0.11, vLLM 0.9 and 0.10 (its `RerankRequest`), infinity (its pull request
393). Others ignore a member that they don't know, or refuse it, as Cohere's own does (422)."""

_COHERE_TRUNCATE = {"truncate_prompt_tokens": -1}
"""What asks vLLM to cut at what the model reads; Cohere and Jina cut by themselves. Not beside images: vLLM
would cut the tokens that stand for them."""


def _cohere_body(query: str, passages: list[str], truncate: Truncate | None, raw: bool) -> dict[str, Any]:
    items = [_vllm_document(one) if isinstance(one, Passage) else one for one in passages]
    cut = truncate == "END" and not any(isinstance(one, dict) for one in items)
    request: dict[str, Any] = {"query": query, "documents": items}
    return request | (_COHERE_RAW if raw else {}) | (_COHERE_TRUNCATE if cut else {})


def _vllm_document(passage: Passage) -> str | dict[str, Any]:
    """A list of contents as vLLM takes it (`ScoreMultiModalParam`); its templates put the image first."""
    if passage.image is None:
        return str(passage)
    text = [{"type": "text", "text": passage.text}] if passage.text else []
    return {"content": [{"type": "image_url", "image_url": {"url": passage.image_url}}, *text]}


def _read_cohere(count: int, reply: bytes) -> Scores:
    """They are in `results`, `data` (Voyage) or the reply (SGLang), as `relevance_score` or `score`."""
    items = answer = parsed(reply)
    if isinstance(answer, dict):
        items = _member(answer, "data" if "data" in answer and "results" not in answer else "results")
    first = items[0] if isinstance(items, list) and items else None
    shorter = isinstance(first, dict) and "score" in first and "relevance_score" not in first
    score = "score" if shorter else "relevance_score"
    return Scores(_in_input_order(items, count, score), _usage(answer, count))


def _tei_body(query: str, passages: list[str], truncate: Truncate | None, raw: bool) -> dict[str, Any]:
    request: dict[str, Any] = {"query": query, "texts": passages, "raw_scores": raw}
    if truncate is not None:
        request |= {"truncate": truncate == "END", "truncation_direction": "Right"}
    return request


def _read_tei(count: int, reply: bytes) -> Scores:
    answer = parsed(reply)
    return Scores(_in_input_order(answer, count, "score"), _usage(answer, count))


def _read_models(reply: bytes) -> list[str]:
    """Ids of `{"data": [{"id": ...}]}`, base models before LoRA adapters (whose `root` is another id)."""
    data = _member(parsed(reply), "data")
    whole = isinstance(data, list) and all(isinstance(one, dict) and _is_name(one.get("id")) for one in data)
    if not whole:
        raise BadResponseError(f"the list of models is malformed: {REPORT}")
    return [one["id"] for one in sorted(data, key=lambda one: one.get("root") not in (None, one["id"]))]


def _read_tei_model(reply: bytes) -> list[str]:
    """The one model of the server, from `GET /info`."""
    name = _member(parsed(reply), "model_id")
    if not _is_name(name):
        raise BadResponseError(f"the server's model_id is no name: {REPORT}")
    return [str(name)]


_NIM = ApiProtocol(
    name="nim",
    verb="ranking",
    root="/v1/ranking",
    models="models",
    health="health/ready",
    body=_nim_body,
    read=_read_nim,
    read_models=_read_models,
)
"""NVIDIA's own: POST {base}/ranking."""

_COHERE = ApiProtocol(
    name="cohere",
    verb="rerank",
    root="/v1/rerank",
    body=_cohere_body,
    read=_read_cohere,
    read_models=_read_models,
    scale=None,
    optional=frozenset({*_COHERE_RAW, *_COHERE_TRUNCATE, "instruct"}),
    instruction=("instruction", "instruct"),  # vLLM (its pull request 42412) and others; SGLang (16403)
)
"""Cohere's, v1 and v2, which vLLM, Jina and infinity speak, too: POST {base}/rerank."""

_TEI = ApiProtocol(
    name="tei",
    verb="rerank",
    root="/rerank",
    models="/info",
    body=_tei_body,
    read=_read_tei,
    read_models=_read_tei_model,
    images=False,
    batch=32,
    needs_model=False,
)
"""Text Embeddings Inference's, which has one model: POST {base}/rerank."""

PROTOCOLS = {one.name: one for one in (_NIM, _COHERE, _TEI)}


def parsed(body: bytes) -> Any:
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


class _RefusedJSONError(ValueError):
    """Valid to Python's parser, not to us."""


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RefusedJSONError("has an object with a key twice")
    return members


def _constant(name: str) -> object:
    raise _RefusedJSONError(f"holds {name}, which is not JSON")


def _is_cut(error: ValueError) -> bool:
    """Whether it is the beginning of JSON; nothing at all is none."""
    if isinstance(error, UnicodeDecodeError):
        return error.end == len(error.object) and error.reason == "unexpected end of data"
    if not isinstance(error, json.JSONDecodeError) or not error.doc.strip():
        return False
    begun = _BEGUN_ESCAPE if error.msg.startswith("Invalid \\u") else _BEGUN
    rest = error.doc[error.pos :].strip()
    return error.msg.startswith("Unterminated string") or bool(begun.fullmatch(rest))


def _member(reply: object, key: str) -> Any:
    if not isinstance(reply, dict):
        raise BadResponseError(f"the reply is a JSON {type(reply).__name__}, not an object: {REPORT}")
    if key not in reply:
        raise BadResponseError(f"the reply has no {key!r}: {REPORT}")
    return reply[key]


def _is_name(value: object) -> bool:
    """Whether a request could name a model so."""
    return isinstance(value, str) and value.isprintable() and value != ""


def _in_input_order(items: object, count: int, key: str) -> list[float]:
    """Scores by their `index`: exactly one finite number for each of 0..count-1."""
    if not isinstance(items, list):
        raise BadResponseError(f"the reply's scores are a JSON {type(items).__name__}, not a list: {REPORT}")
    if len(items) != count:
        raise BadResponseError(f"the reply has {len(items)} scores for {count} passages: {REPORT}")
    by_index: dict[int, float] = {}
    for position, item in enumerate(items):
        known: dict[str, Any] = item if isinstance(item, dict) else {}
        index, score = known.get("index"), known.get(key)
        if type(index) is not int:  # a bool is an int, too
            problem = "has no integer index"
        elif not 0 <= index < count:
            problem = "is for a passage that was not sent"
        elif type(score) is not int and type(score) is not float:
            problem = f"has no number as {key!r}"
        elif not abs(score) <= sys.float_info.max:  # nor is NaN, nor an integer beyond
            problem = "is not finite"
        else:
            by_index[index] = float(score)
            continue
        raise BadResponseError(f"score {position} of the reply {problem}: {REPORT}")
    if len(by_index) != count:
        raise BadResponseError(f"the reply has only {len(by_index)} different indices of {count}: {REPORT}")
    return [by_index[index] for index in range(count)]


def _usage(reply: object, passages: int) -> Usage:
    """What the server counted, where it tells it as numbers: in `usage`, or in Cohere's `meta`."""
    if not isinstance(reply, dict) or reply.keys().isdisjoint({"usage", "meta"}):
        return Usage(passages, 1)
    prompt, total = _count(reply, "usage", "prompt_tokens"), _count(reply, "usage", "total_tokens")
    sent = _count(reply, "meta", "tokens", "input_tokens")
    if sent is not None:
        prompt = sent if prompt is None else prompt
        total = sent + (_count(reply, "meta", "tokens", "output_tokens") or 0) if total is None else total
    return Usage(passages, 1, prompt, total, _count(reply, "meta", "billed_units", "search_units"))


def _count(reply: object, *path: str) -> int | None:
    for key in path:
        reply = reply.get(key) if isinstance(reply, dict) else None
    return reply if type(reply) is int and reply >= 0 else None
