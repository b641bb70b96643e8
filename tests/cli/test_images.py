"""Files that are images are passages for a scorer that reads them."""

from __future__ import annotations

import json

import pytest
from support.images import jpeg, png

from nvrerank import Scorer


class Seeing(Scorer):
    reads_images = True

    def _score(self, query, passages):
        return [float(len(one.image)) if getattr(one, "image", None) else 1.0 for one in passages]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text("a text", encoding="utf-8")
    (tmp_path / "b.dat").write_bytes(jpeg())
    (tmp_path / "c.png").write_bytes(png())
    return tmp_path


def test_images_are_known_by_their_first_bytes_and_ranked_with_the_texts(command, folder):
    result = command("rank", "q", folder, "--json", obj=lambda _: Seeing())
    assert (result.exit_code, result.stderr) == (0, "")
    entries = json.loads(result.stdout)
    assert [(one["file"], one["line"], one["text"]) for one in entries] == [
        (str(folder / "b.dat"), None, ""),
        (str(folder / "c.png"), None, ""),
        (str(folder / "a.txt"), 1, "a text"),
    ]


@pytest.mark.parametrize("style", ["table", "csv", "html"])
def test_each_form_names_the_file_alone(command, folder, style):
    result = command("rank", "q", folder / "c.png", "--format", style, obj=lambda _: Seeing())
    assert (result.exit_code, result.stderr) == (0, "")
    assert str(folder / "c.png") in result.stdout
    assert "c.png:None" not in result.stdout


def test_a_scorer_that_reads_texts_alone_refuses_them_as_before(command, folder):
    result = command("rank", "q", folder / "c.png")
    assert result.exit_code == 2
    assert "is a PNG image, not text" in result.stderr


def test_a_broken_image_is_an_error_that_names_the_file(command, tmp_path):
    (tmp_path / "cut.png").write_bytes(png()[:20])
    result = command("rank", "q", tmp_path / "cut.png", obj=lambda _: Seeing())
    assert (result.exit_code, result.stderr) == (
        2,
        f"nvrerank: {tmp_path / 'cut.png'}: the image is broken: its header does not tell its size\n",
    )
