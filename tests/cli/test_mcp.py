"""`nvrerank mcp`: the tools as a language model's client sees them, and what files it can reach."""

import json
import os
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from nvrerank import Scorer
from nvrerank.cli import roots as limits
from nvrerank.cli.mcp import mcp_server

ROOT = Path(__file__).parents[2]


class WordsInCommon(Scorer):
    def score(self, query, passages):
        words = set(query.lower().split())
        return [float(len(words & set(passage.lower().split()))) for passage in passages]


@pytest.fixture
def shelf(tmp_path):
    """A root, and beside it what must not be read."""
    root = tmp_path / "shelf"
    (root / "pets").mkdir(parents=True)
    (root / "pets" / "cats.md").write_text("A cat sleeps most of the day.\n")
    (root / "rust.txt").write_text("Iron rusts.\n")
    (root / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root / ".secret").write_text("The cat knows the password.\n")
    (tmp_path / "shelf-of-others").mkdir()
    (tmp_path / "shelf-of-others" / "cats.md").write_text("A cat of others sleeps.\n")
    (tmp_path / "outside.txt").write_text("A cat sleeps outside.\n")
    return root


async def call(server, tool, **arguments):
    """What a tool gave: its structured answer, or the words of its error."""
    async with Client(server) as client:
        answer = await client.call_tool(tool, arguments)
    if answer.is_error:
        return answer.content[0].text
    return answer.structured_content


async def found_in(root, *paths, question="how long does a cat sleep", **limits):
    asked = {"paths": [str(one) for one in paths]} if paths else {}
    return await call(
        mcp_server(WordsInCommon(), [root], **limits), "find_in_files", question=question, **asked
    )


async def test_texts_come_back_best_first_by_their_index():
    texts = ["Iron rusts.", " ", "a cat sleeps", "a cat"]
    server = mcp_server(WordsInCommon())
    answer = await call(server, "rerank_texts", question="a cat sleeps", texts=texts, top_n=2)
    assert [(one["index"], one["score"], one["begins"]) for one in answer["result"]] == [
        (2, 3.0, "a cat sleeps"),
        (3, 2.0, "a cat"),
    ]


async def test_files_come_back_best_first_with_where_the_passage_begins(shelf):
    answer = await found_in(shelf)
    assert [one["file"] for one in answer["files"]] == [str(shelf / "pets/cats.md"), str(shelf / "rust.txt")]
    passage = answer["files"][0]["passages"][0]
    assert passage == {"score": 2.0, "line": 1, "page": None, "text": "A cat sleeps most of the day."}
    assert answer["searched"] == "2 files, 2 passages"


async def test_what_cant_be_read_is_named_with_the_reason(shelf):
    (shelf / "empty.txt").touch()
    (shelf / "lost.txt").symlink_to(shelf / "nowhere.txt")
    (shelf / "circle").symlink_to(shelf / "circle")
    os.mkfifo(shelf / "pipe")
    not_read = " | ".join((await found_in(shelf, ".", "a\0b"))["not_read"])
    for words in (
        "a\0b ",
        "circle ",
        "empty.txt has no text",
        "lost.txt does not",
        "pipe is no regular file",
        "photo.png is a PNG",
    ):
        assert words in not_read, not_read


@pytest.mark.parametrize(
    "path",
    [
        "../outside.txt",
        "../shelf-of-others/cats.md",
        "../shelf-of-others",
        "pets/../../outside.txt",
        "/etc/passwd",
        ".secret",
        "link.txt",
        "link-folder/cats.md",
        "link-secret.txt",
    ],
)
async def test_what_is_outside_or_hidden_is_refused_alike_whether_it_exists_or_not(shelf, path):
    (shelf / "link.txt").symlink_to(shelf.parent / "outside.txt")
    (shelf / "link-folder").symlink_to(shelf.parent / "shelf-of-others")
    (shelf / "link-secret.txt").symlink_to(shelf / ".secret")
    there = await found_in(shelf, path)
    (shelf.parent / "outside.txt").unlink()
    (shelf.parent / "shelf-of-others/cats.md").unlink()
    (shelf / ".secret").unlink()
    assert there == await found_in(shelf, path)
    assert there["files"] == []
    assert there["not_read"] == [f"{path} is hidden, or outside of the folders that may be read"]


async def test_a_search_of_everything_follows_no_link_outside_and_says_so_alike(shelf):
    (shelf / "link.txt").symlink_to(shelf.parent / "outside.txt")
    (shelf / "link-folder").symlink_to(shelf.parent / "shelf-of-others")
    (shelf / "gone").symlink_to(shelf.parent / "gone")
    answer = await found_in(shelf)
    assert "outside" not in json.dumps(answer["files"])
    refused = [one.partition(" is hidden")[0] for one in answer["not_read"] if "outside of" in one]
    assert refused == [str(shelf / name) for name in ("gone", "link-folder", "link.txt")]


async def test_a_link_within_the_roots_is_read_once_as_the_file_it_is(shelf):
    (shelf / "again.md").symlink_to(shelf / "pets/cats.md")
    (shelf / "around").symlink_to(shelf)
    answer = await found_in(shelf)
    assert answer["searched"] == "2 files, 2 passages"
    assert (await found_in(shelf, "again.md"))["files"][0]["file"] == str(shelf / "pets/cats.md")


async def test_paths_may_be_relative_to_a_root_or_absolute_and_standard_input_is_none(shelf):
    for path in ("pets", "pets/cats.md", shelf / "pets", shelf / "pets" / "cats.md"):
        assert (await found_in(shelf, path))["searched"] == "1 files, 1 passages"
    for path in ("-", "*.txt", "nope.txt"):
        assert (await found_in(shelf, path))["not_read"] == [f"{path} does not exist"]


async def test_more_than_a_limit_is_an_error_that_says_what_to_choose_from(shelf, monkeypatch):
    refused = await found_in(shelf, max_passages=1)
    assert "more than 1 passages" in refused
    assert str(shelf / "pets") in refused
    assert ".secret" not in refused
    assert (await found_in(shelf, "pets", max_passages=1))["searched"] == "1 files, 1 passages"
    monkeypatch.setattr(limits, "MOST_FILES", 2)
    assert "more than 2 files" in await found_in(shelf)


async def test_a_file_over_the_bytes_of_a_call_is_left_out_by_name(shelf, monkeypatch):
    monkeypatch.setattr(limits, "MOST_BYTES", 20)
    answer = await found_in(shelf)
    assert [one["file"] for one in answer["files"]] == [str(shelf / "rust.txt")]
    assert any("cats.md was left out" in one for one in answer["not_read"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"question": " ", "texts": ["a"]}, "blank"),
        ({"question": "a", "texts": ["a"], "top_n": -1}, "top_n must be"),
        ({"question": "a", "texts": ["a"] * 4}, "4 texts are more than 3"),
        ({"texts": ["a"]}, "question"),
    ],
)
async def test_the_model_reads_what_was_wrong_with_its_call(arguments, words):
    assert words in await call(mcp_server(WordsInCommon(), max_passages=3), "rerank_texts", **arguments)


async def test_the_model_is_told_which_folders_there_are_and_has_no_files_without_a_root(shelf):
    async with Client(mcp_server(WordsInCommon(), [shelf])) as client:
        assert "compared within one answer" in client.instructions
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert str(shelf) in tools["find_in_files"].description
    assert all(tool.annotations.read_only_hint for tool in tools.values())
    async with Client(mcp_server(WordsInCommon())) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["rerank_texts"]


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (["--root", "no-such-folder"], "--root no-such-folder is no folder", 2),
        (["--scorer", "nonsense"], "a scorer is", 2),
        (["--max-passages", "0"], "--max-passages", 2),
    ],
)
def test_a_bad_argument_ends_it_before_it_serves(command, arguments, words, status):
    done = command("mcp", *arguments)
    assert done.exit_code == status
    assert words in done.stderr


def test_without_the_sdk_the_pip_command_is_named(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    done = command("mcp")
    assert done.exit_code == 3
    assert "pip install 'nvrerank[mcp]'" in done.stderr


@pytest.mark.slow
async def test_a_process_serves_the_bundled_model_over_stdio():
    arguments = ["-m", "nvrerank", "mcp", "--root", str(ROOT / "notebooks/handbook")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "shared")}
    server = StdioServerParameters(command=sys.executable, args=arguments, env=environment)
    async with Client(stdio_client(server)) as client:
        question = "What happens if a tent is put away wet?"
        paths = ["care-and-damage.md", "your-data.md", "safety.md"]
        arguments = {"question": question, "paths": paths, "top_n": 1}
        answer = await client.call_tool("find_in_files", arguments)
    assert answer.structured_content["files"][0]["file"].endswith("care-and-damage.md")
