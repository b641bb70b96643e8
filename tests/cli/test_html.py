"""`nvrerank rank --html FILE`: a page that is written whole or not at all."""

from __future__ import annotations

import pytest

from nvrerank import Scorer, ServiceUnavailableError


def test_a_page_is_written_beside_what_is_printed(command, notes, tmp_path):
    target = tmp_path / "page.html"
    plain = command("rank", "the capital of france", notes)
    result = command("rank", "the capital of france", notes, "--html", target)
    assert (result.exit_code, result.stdout) == (0, plain.stdout)
    text = target.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert f"<bdi>{notes}:3</bdi>" in text
    assert ">The capital of France is Paris, and it has been so" in text
    assert "<mark" in text


def test_a_page_in_place_of_another_leaves_nothing_beside_it(command, notes, tmp_path):
    target = tmp_path / "page.html"
    target.write_text("old", encoding="utf-8")
    command("rank", "cats", notes, "--html", target)
    assert "old" not in target.read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "page.html"}


def test_a_link_is_followed_and_stays(command, notes, tmp_path):
    (tmp_path / "page.html").symlink_to("real.html")
    command("rank", "cats", notes, "--html", tmp_path / "page.html")
    assert (tmp_path / "page.html").is_symlink()
    assert (tmp_path / "real.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("", "is a folder: name a file in it"),
        ("nowhere/page.html", "there is no folder"),
        ("/dev/null", "regular"),
    ],
)
def test_a_file_that_can_not_be_one_is_refused_before_anything_is_scored(
    command, made_with, notes, tmp_path, file, reason
):
    result = command("rank", "cats", notes, "--html", tmp_path / file)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert made_with == []


def test_a_page_that_can_not_be_written_leaves_the_old_one(command, notes, tmp_path, monkeypatch):
    target = tmp_path / "page.html"
    target.write_text("old", encoding="utf-8")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    result = command("rank", "cats", notes, "--html", target)
    assert result.exit_code == 2
    assert "The capital of France" in result.stdout
    assert "can't be written: No space left on device" in result.stderr
    assert target.read_text(encoding="utf-8") == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "page.html"}


class OnlyOnce(Scorer):
    """Ranks, and then is out of reach."""

    def __init__(self):
        self.asked = 0

    def score(self, query, passages):
        self.asked += 1
        if self.asked > 1:
            raise ServiceUnavailableError("the queue is full")
        return [float(len(passage)) for passage in passages]


def test_a_ranking_is_printed_even_if_its_best_sentences_are_not_found(command, notes, tmp_path):
    def make_scorer(wanted):
        return OnlyOnce()

    plain = command("rank", "cats", notes, obj=make_scorer)
    result = command("rank", "cats", notes, "--html", tmp_path / "page.html", obj=make_scorer)
    assert (result.exit_code, result.stderr) == (4, "nvrerank: the queue is full\n")
    assert result.stdout == plain.stdout != ""
    assert not (tmp_path / "page.html").exists()


def test_nothing_ranked_is_a_page_too(command, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("", encoding="utf-8")
    result = command("rank", "cats", empty, "--html", tmp_path / "page.html")
    assert result.exit_code == 0
    assert "no passage stayed" in (tmp_path / "page.html").read_text(encoding="utf-8")
