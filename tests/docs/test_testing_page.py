# SPDX-License-Identifier: GPL-3.0-only
"""The pages about testing say what the Makefile, the workflows and testctl do."""

from __future__ import annotations

import itertools
import re
import shlex
from typing import Any

import click
import pytest
import yaml
from testctl.cli import cli
from testctl.outcomes import ExitCode

from tests.support.docs.pages import ROOT, blocks, read, rows, section

PAGE = "how-to/testing.md"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def verbs() -> set[str]:
    makefile = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", makefile, re.MULTILINE))


def jobs() -> dict[str, dict[str, Any]]:
    """Return the jobs of all workflows, by name."""
    found: dict[str, dict[str, Any]] = {}
    for path in WORKFLOWS:
        found |= yaml.safe_load(path.read_text())["jobs"]
    return found


def commands(job: dict[str, Any]) -> set[str]:
    """Return what a job runs, once for each cell of its matrix."""
    (line,) = [step["run"] for step in job["steps"] if "run" in step]
    matrix = {
        name: values
        for name, values in job.get("strategy", {}).get("matrix", {}).items()
        if f"matrix.{name} " in line
    }
    found = set()
    for cell in itertools.product(*matrix.values()):
        command = line
        for name, value in zip(matrix, cell, strict=True):
            command = command.replace(f"${{{{ matrix.{name} }}}}", value)
        found.add(command)
    return found


@pytest.mark.parametrize("name", jobs())
def test_a_job_is_one_verb_that_exists(name: str) -> None:
    for command in commands(jobs()[name]):
        make, verb, *settings = command.split()
        assert make == "make"
        assert verb in verbs()
        assert all(re.fullmatch(r"[A-Z0-9_]+=\S+", each) for each in settings)


def test_the_table_has_every_verb_with_the_job_that_runs_it() -> None:
    _header, *table = rows(section(PAGE, "The verbs"))
    said = {row[0].strip("`").removeprefix("make "): row[2] for row in table}
    ran = {command.split()[1]: name for name, job in jobs().items() for command in commands(job)}
    assert said == {verb: ran.get(verb, "") for verb in verbs()}


def test_what_the_checks_run_is_listed_row_by_row() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    (sentence,) = re.findall(r"`\.ci/run` runs (.*?), and sums up", read(PAGE), re.DOTALL)
    rows_of_checks = re.split(r"^row=", script, flags=re.MULTILINE)[2:]
    checked = [
        list(dict.fromkeys(re.findall(r"^ *check (\S+)", row, re.MULTILINE)))
        for row in rows_of_checks
    ]
    told = [re.findall(r"`([\w-]+)`", row) for row in sentence.split(";")]
    assert told == checked


def test_the_page_about_ci_has_every_job_with_its_commands() -> None:
    _header, *table = rows(section("how-to/ci-local.md", "Each job by itself"))
    said = {(name, command.strip("`")) for name, command, _ in table}
    assert said == {(name, command) for name, job in jobs().items() for command in commands(job)}


def test_the_lines_for_act_name_jobs_and_cells_that_exist() -> None:
    text = "".join(block.text for block in blocks("sh", "how-to/ci-local.md"))
    named = re.findall(r"^act .*--job (\S+)(?: --matrix (\w+):(\S+))?", text, re.MULTILINE)
    assert {job for job, _, _ in named} == set(jobs())
    for job, name, value in named:
        if name:
            assert value in jobs()[job]["strategy"]["matrix"][name]


def test_the_pythons_of_the_test_jobs_are_the_supported_ones() -> None:
    declared = re.findall(r":: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert jobs()["test"]["strategy"]["matrix"]["python"] == declared
    listed = f"{', '.join(declared[:-1])} and {declared[-1]}"
    assert listed in read(PAGE)
    assert listed in read("how-to/ci-local.md")


def test_the_least_coverage_is_that_of_the_makefile() -> None:
    (least,) = re.findall(r"^COVERAGE_MIN \?= (\d+)$", (ROOT / "Makefile").read_text(), re.M)
    assert f"at least {least} % of lines and branches" in read(PAGE)
    assert f"at least {least} %" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_ends_in_time(path: Any) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        assert "permissions" not in job
        assert job["steps"][0]["with"] == {"persist-credentials": False}


def test_every_line_for_testctl_is_one_that_it_knows() -> None:
    text = "".join(block.text for block in blocks("sh", PAGE))
    lines = re.findall(r"^\.venv/bin/python scripts/testctl (.*)$", text, re.MULTILINE)
    shown = set()
    for line in lines:
        command: click.Command = cli
        words, path = shlex.split(line), []
        while isinstance(command, click.Group):
            path.append(words.pop(0))
            command = command.commands[path[-1]]
        command.make_context(path[-1], words, resilient_parsing=False)
        shown.add(" ".join(path))
    leaves = {"install", "poll-url", *(f"test {name}" for name in suites())}
    assert shown == leaves


def suites() -> list[str]:
    group = cli.commands["test"]
    assert isinstance(group, click.Group)
    return list(group.commands)


def test_the_exit_codes_of_testctl_are_all_listed() -> None:
    _header, *table = rows(section(PAGE, "testctl"))
    assert {int(row[0]) for row in table} == set(ExitCode)


def test_the_packages_of_debian_are_those_that_are_installed() -> None:
    script = (ROOT / "scripts" / "apt.sh").read_text()
    (needed,) = re.findall(r'^needed="\n(.*?)^"$', script, re.MULTILINE | re.DOTALL)
    _header, *table = rows(section(PAGE, "Programs from Debian"))
    said = {name for row in table for name in re.findall(r"`([\w-]+)`", row[0])}
    assert said == {line.split()[1] for line in needed.splitlines()}
