"""What GitHub reads is valid, and says the same as pyproject.toml and the Makefile."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import yaml
from support.blocks import ROOT, check_targets

import nvrerank

FOLDER = ROOT / ".github"
FILES = [*sorted(FOLDER.glob("**/*.yml")), ROOT / "CITATION.cff", ROOT / "mkdocs.yml"]
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow) -> list[dict[str, Any]]:
    return [step for job in read(workflow)["jobs"].values() for step in job.get("steps", ())]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_yaml_with_something_in_it(path):
    assert isinstance(read(path), dict)


def test_the_tests_run_on_the_pythons_of_the_classifiers():
    matrix = read(FOLDER / "workflows" / "tests.yml")["jobs"]["test"]["strategy"]["matrix"]
    named = [one.removeprefix("Programming Language :: Python :: ") for one in PROJECT["classifiers"]]
    assert matrix["python"] == [one for one in named if one.startswith("3.")]
    assert matrix["python"][0] == PROJECT["requires-python"].removeprefix(">=")
    assert all(one["not-run-yet"] for one in matrix["include"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_alone_and_names_what_exists(workflow):
    assert read(workflow)["permissions"] == {"contents": "read"}
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step)
        if step.get("run", "").startswith("make "):
            check_targets(step["run"].split()[1:])


def test_only_publishing_gets_more_and_that_is_its_identity():
    rights = {
        (workflow.name, name): job["permissions"]
        for workflow in WORKFLOWS
        for name, job in read(workflow)["jobs"].items()
        if "permissions" in job
    }
    assert rights == {("publish.yml", "publish"): {"id-token": "write"}}
    assert read(FOLDER / "workflows" / "publish.yml")["jobs"]["publish"]["needs"] == ["tests", "build"]


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_an_issue_form_asks_something_and_insists_on_an_answer(name):
    form = read(FOLDER / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert form["name"]
    assert form["description"]
    asked = [one for one in form["body"] if one["type"] != "markdown"]
    assert len({one["id"] for one in asked}) == len(asked)
    assert any(one.get("validations", {}).get("required") for one in asked)


def test_the_citation_is_of_this_version_and_place():
    citation = read(ROOT / "CITATION.cff")
    assert citation["version"] == nvrerank.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]


def test_the_site_loads_nothing_from_elsewhere():
    site = read(ROOT / "mkdocs.yml")
    assert site["strict"] is True
    assert site["theme"]["font"] is False
    assert not {"extra_css", "extra_javascript", "repo_url", "extra"} & set(site)
