"""A folder is never looked for on the hub, and a hub name is asked for at its revision."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.checkpoints import write_decoder

from nvrerank import LocalScorer, ModelLoadError
from nvrerank.local.settings import ModelSource, find_source


@pytest.mark.parametrize(
    "model", ["./nowhere", "../nowhere", "/no/where", "~/nowhere", "no\\where", Path("no/where")]
)
def test_a_path_that_does_not_exist_is_refused_at_construction(model):
    with pytest.raises(ModelLoadError, match="is not a folder"):
        LocalScorer(model)


def test_a_file_is_not_a_model(tmp_path):
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ModelLoadError, match="give the folder"):
        LocalScorer(str(file))


@pytest.mark.parametrize("model", ["", "one", "a/b/c", "https://host/model", "org/na me"])
def test_what_is_neither_folder_nor_hub_name_is_refused(model):
    with pytest.raises(ValueError, match="neither a folder nor a hub name"):
        LocalScorer(model)


@pytest.mark.parametrize("model", [7, b"org/name", ["org/name"]])
def test_a_model_of_the_wrong_type_is_refused(model):
    with pytest.raises(TypeError, match="model must be a folder or a hub name"):
        LocalScorer(model)


def test_a_folder_has_no_revision(tmp_path):
    with pytest.raises(ValueError, match="a folder has none"):
        LocalScorer(tmp_path, revision="main")


def test_a_folder_named_like_a_hub_model_wins(tmp_path, monkeypatch):
    write_decoder(tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    assert find_source("org/name", None) == ModelSource("org/name", Path("org/name"))
    scorer = LocalScorer("org/name", device="cpu", dtype="float32")
    assert (scorer.name, scorer.folder) == ("org/name", Path("org/name"))


def test_a_hub_model_has_no_folder_and_the_bundled_one_has_the_packages():
    assert LocalScorer("org/name", device="cpu", dtype="float32").folder is None
    assert (LocalScorer(device="cpu", dtype="float32").folder / "model.safetensors").exists()


def test_a_hub_that_can_not_be_reached_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(
        ModelLoadError, match="org/name at revision v2 could not be had from the Hugging Face hub"
    ):
        LocalScorer("org/name", revision="v2", device="cpu", dtype="float32").load()


class FakeHub(BaseHTTPRequestHandler):
    """One repository at one revision; everything else is 404."""

    folder: Path
    asked: list[str]

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        self.asked.append(self.path)
        commit = "c0ffee" + "0" * 34
        names = sorted(file.name for file in self.folder.iterdir())
        if self.path.startswith("/api/models/org/tiny/revision/v2"):
            siblings = [{"rfilename": name} for name in names]
            listing = {"id": "org/tiny", "modelId": "org/tiny", "sha": commit, "siblings": siblings}
            content = json.dumps(listing).encode()
        elif self.path.startswith(f"/api/models/org/tiny/tree/{commit}"):
            tree = [{"type": "file", "path": name, "oid": name, "size": self.size(name)} for name in names]
            content = json.dumps(tree).encode()
        elif self.path.startswith(f"/org/tiny/resolve/{commit}/"):
            content = (self.folder / self.path.rsplit("/", 1)[1]).read_bytes()
        else:
            content = None
        self.send_response(404 if content is None else 200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{abs(hash(self.path))}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if body and content:
            self.wfile.write(content)

    def size(self, name: str) -> int:
        return (self.folder / name).stat().st_size

    def log_message(self, *_args):
        pass


@pytest.fixture
def hub(tmp_path):
    folder = write_decoder(tmp_path / "repository")
    (folder / "remote_code.py").write_text("raise SystemExit('remote code was run')")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    handler = type("Hub", (FakeHub,), {"folder": folder, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server, handler
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_a_hub_model_is_fetched_at_its_revision_without_code_or_pickle(tmp_path, hub):
    server, handler = hub
    script = (
        "from nvrerank import LocalScorer; "
        "print(len(LocalScorer('org/tiny', revision='v2', device='cpu').score('q', ['one', 'two'])))"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "2", done.stderr
    assert not [path for path in handler.asked if path.endswith((".py", ".bin"))]
