"""Counts the functions of ours that scoring three passages walks through, so that the walk stays short.

    python shared/tools/walk.py [hosted] [local] [--first] [--list]

Counted by `sys.setprofile` in the caller's thread: each function of the package once, and the files they
stand in. Comprehensions are part of the function around them. The call is a scorer's second, or, with
--first, its first, which opens what the others use. The hosted call goes over a real connection to a server
of this process; the local one needs the extra `local`.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType

import nvrerank
from nvrerank import HostedScorer, LocalScorer, Scorer, rerank

QUERY = "which planet has rings?"
PASSAGES = ["Saturn has rings.", "Mars is red.", "Rings are made of gold."]

_OURS = Path(nvrerank.__file__).parent


@dataclass(frozen=True, slots=True)
class Walk:
    """What a call entered.

    Attributes:
        entered: (file, function), in the order they were entered, each as often as it was.
    """

    entered: list[tuple[str, str]]

    @property
    def functions(self) -> list[tuple[str, str]]:
        """(file, function), each once, in the order they were first entered."""
        return list(dict.fromkeys(self.entered))

    @property
    def files(self) -> list[str]:
        """Each file once."""
        return list(dict.fromkeys(file for file, _ in self.entered))

    @property
    def changes(self) -> int:
        """How often a file was left for another one."""
        return sum(one != other for (one, _), (other, _) in pairwise(self.entered))

    def __str__(self) -> str:
        counts = len(self.functions), len(self.files), self.changes
        return "{} functions in {} files, {} changes of file".format(*counts)


def walk(call: Callable[[], object]) -> Walk:
    """Runs a call and tells what of ours it entered."""
    codes: list[CodeType] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.append(frame.f_code)

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    ours = (code for code in codes if Path(code.co_filename).is_relative_to(_OURS) and not _is_inline(code))
    return Walk([(str(Path(code.co_filename).relative_to(_OURS)), code.co_qualname) for code in ours])


def hosted(*, first: bool = False) -> Walk:
    """A call of a scorer that asks a server."""
    with _server() as url, HostedScorer("walk/reranker", base_url=url) as scorer:
        return _of(scorer, first=first)


def local(*, first: bool = False) -> Walk:
    """A call of the bundled model."""
    return _of(LocalScorer(), first=first)


def _of(scorer: Scorer, *, first: bool) -> Walk:
    if not first:
        rerank(scorer, QUERY, PASSAGES)
    return walk(lambda: rerank(scorer, QUERY, PASSAGES))


def _is_inline(code: CodeType) -> bool:
    return code.co_name.startswith("<") and code.co_name != "<lambda>"


@contextmanager
def _server() -> Iterator[str]:
    """The URL of a NIM that answers each request with the same scores."""
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Answers(BaseHTTPRequestHandler):
    """Three scores, whatever is asked, on a connection that is kept."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"rankings": [{"index": index, "logit": -index} for index in range(3)]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def main() -> None:
    """Prints the counts, and with --list each function."""
    kinds = {"hosted": hosted, "local": local}
    parser = argparse.ArgumentParser(description="Counts the functions that a call walks through.")
    parser.add_argument("calls", nargs="*", choices=[[], *kinds], metavar="{hosted,local}")
    parser.add_argument("--list", action="store_true", help="print each function where it is first entered")
    parser.add_argument("--first", action="store_true", help="count a scorer's first call, not its second")
    given = parser.parse_args()
    for name in given.calls or kinds:
        found = kinds[name](first=given.first)
        print(f"{name}: {found}")
        for file, function in found.functions if given.list else ():
            print(f"    {file:28} {function}")


if __name__ == "__main__":
    main()
