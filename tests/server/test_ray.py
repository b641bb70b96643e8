"""The deployment of docs/serving.md, on a Ray of its own."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASKS = """
import json, urllib.request
body = {"query": "what is a cat?", "documents": ["rust", "a cat is an animal"]}
asked = urllib.request.Request(
    "http://127.0.0.1:PORT/v1/rerank", json.dumps(body).encode(), {"content-type": "application/json"}
)
with urllib.request.urlopen(asked, timeout=60) as answer:
    print("ANSWER", answer.read().decode())
serve.shutdown()
"""


@pytest.mark.slow
def test_the_deployment_of_the_docs_answers(tmp_path):
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    [block] = re.findall(r'```python title="Needs Ray"\n(.*?)```', page, re.DOTALL)
    small = 'serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0.5})'
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = (block + ASKS).replace("serve.deployment(num_replicas=2)", small).replace("PORT", str(port))
    started = f"serve.start(http_options={{'port': {port}}})\nserve.run("
    (tmp_path / "deployment.py").write_text(script.replace("serve.run(", started), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "shared"), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "deployment.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=environment,
    )
    [answer] = re.findall(r"^ANSWER (.*)$", done.stdout, re.MULTILINE) or [done.stderr[-3000:]]
    assert [one["index"] for one in json.loads(answer)["results"]] == [1, 0]
