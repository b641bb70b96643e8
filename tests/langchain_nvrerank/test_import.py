"""What importing the adapter costs and says."""

import subprocess
import sys

import pytest


def run(code: str) -> str:
    answer = subprocess.run(  # our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


def test_importing_it_loads_neither_torch_nor_httpx_nor_a_room() -> None:
    names = run("import sys, langchain_nvrerank; print(*sys.modules)").split()
    assert not {"torch", "transformers", "httpx", "nvrerank.local", "nvrerank.hosted"}.intersection(names)


def test_without_the_framework_the_error_names_the_pip_command() -> None:
    code = """
import sys
import nvrerank
sys.modules["langchain_core"] = None
try:
    import langchain_nvrerank
except nvrerank.MissingExtraError as error:
    print(error)
"""
    message = run(code)
    assert message.startswith("langchain_nvrerank needs langchain_core")
    assert message.endswith("pip install 'nvrerank[langchain]'")


def test_only_what_is_for_agents_needs_more_than_langchain_s_core() -> None:
    code = """
import sys
import nvrerank
sys.modules["langchain"] = None
import langchain_nvrerank
try:
    langchain_nvrerank.RerankMiddleware
except nvrerank.MissingExtraError as error:
    print("langgraph" in sys.modules, error)
"""
    wanted = "pip install 'nvrerank[langchain-agents]'"
    assert run(code) == f"False RerankMiddleware needs langchain: {wanted}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    import langchain_nvrerank

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        langchain_nvrerank.nonsense  # noqa: B018
