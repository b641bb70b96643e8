"""What importing the adapter costs and says."""

import subprocess
import sys


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
