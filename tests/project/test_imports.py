"""Importing is cheap, rooms open at the first use, and a missing package is named with its cure."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

HEAVY = [
    "torch",
    "transformers",
    "tokenizers",
    "httpx",
    "langchain_core",
    "llama_index",
    "typer",
    "fastapi",
    "matplotlib",
    "pandas",
    "pyarrow",
    "ray",
]


def python(code: str, cwd) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_core_loads_no_framework_no_torch_and_no_client(tmp_path):
    done = python(f"import sys, nvrerank; print([name for name in {HEAVY} if name in sys.modules])", tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_folder_shared_is_no_package(tmp_path):
    done = python("import nvrerank, langchain_nvrerank, llamaindex_nvrerank; import shared", tmp_path)
    assert "No module named 'shared'" in done.stderr


@pytest.mark.parametrize("package", ["torch", "tokenizers", "safetensors"])
def test_local_scoring_without_its_packages_names_the_pip_command(tmp_path, package):
    done = python(f"import sys; sys.modules[{package!r}] = None; from nvrerank import LocalScorer", tmp_path)
    assert f"MissingExtraError: local scoring needs {package}: pip install 'nvrerank[local]'" in done.stderr


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
def test_serving_without_its_packages_names_the_pip_command(tmp_path, package):
    done = python(f"import sys; sys.modules[{package!r}] = None; import nvrerank.server", tmp_path)
    assert f"MissingExtraError: serving needs {package}: pip install 'nvrerank[serve]'" in done.stderr


@pytest.mark.parametrize("package", ["pyarrow", "tqdm"])
def test_bulk_scoring_without_its_packages_names_the_pip_command(tmp_path, package):
    done = python(f"import sys; sys.modules[{package!r}] = None; import nvrerank.bulk", tmp_path)
    assert f"MissingExtraError: bulk scoring needs {package}: pip install 'nvrerank[bulk]'" in done.stderr


def test_bulk_scoring_on_ray_without_ray_names_the_pip_command(tmp_path):
    code = """
        import json, sys
        from pathlib import Path
        sys.modules["ray"] = None
        from nvrerank.bulk import rerank_parquet
        Path("in.jsonl").write_text(json.dumps({"query": "q", "passage": "p"}))
        rerank_parquet("in.jsonl", "out", scorer="http://127.0.0.1:9/v1", engine="ray")
    """
    done = python(textwrap.dedent(code), tmp_path)
    assert "MissingExtraError: the engine 'ray' needs Ray: pip install 'nvrerank[ray]'" in done.stderr


def test_every_public_name_exists():
    import nvrerank

    assert sorted(nvrerank.__all__) == dir(nvrerank)
    assert all(getattr(nvrerank, name) is not None for name in nvrerank.__all__)


def test_an_unknown_name_is_an_attribute_error():
    import nvrerank

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        nvrerank.nonsense  # noqa: B018


@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_do_not_spin_unless_the_user_says_so(tmp_path, monkeypatch, given, kept):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    done = python("import os, nvrerank.local; print(os.environ['OMP_WAIT_POLICY'])", tmp_path)
    assert done.stdout.strip() == kept, done.stderr
