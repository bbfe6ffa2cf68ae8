# SPDX-License-Identifier: GPL-3.0-only
"""Commands that installed plugins bring, in the command line that they are part of."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from modeld.cli.main import COMMANDS, ExitCode, main
from modeld.cli.plugin_commands import EXTRAS
from tests.support.cli.terminal import MODELD, modeld
from tests.support.plugins.some_plugins import ZOO

pytestmark = pytest.mark.usefixtures("measured_processes")

ROOT = Path(__file__).parents[2]
LATE = "its command 'greet' is left out: the plugin 'zoo-greeter' has one of this name"
MISSING = "No module named 'zoo_commands.missing'"
THIEF = "its command 'serve' is left out: modeld itself has one of this name"
WARNINGS = [
    f"the plugin 'zoo-late': {LATE}",
    f"the plugin 'zoo-missing' is left out: import raised ModuleNotFoundError: {MISSING}",
    f"the plugin 'zoo-thief': {THIEF}",
]


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins with commands, good ones and others, installed for commands started from here."""
    monkeypatch.setenv("PYTHONPATH", str(ZOO / "commands"))


def imported_by(*args: str) -> set[str]:
    """Return the modules that are imported after one command line."""
    code = (
        "import sys; from modeld.cli.main import main; main(sys.argv[1:]);"
        " print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.usefixtures("zoo")
def test_the_help_has_a_plugins_command_and_does_not_import_it():
    done = modeld("--help")
    assert done.returncode == ExitCode.OK
    _, _, of_plugins = done.stdout.partition("Commands of plugins:")
    assert "\n  greet  Greet NAME.\n" in of_plugins
    assert "zoo_commands.greet" not in imported_by("--help")


@pytest.mark.usefixtures("zoo")
def test_a_plugins_command_takes_arguments_and_has_help_and_an_exit_code():
    done = modeld("greet", "Ada", "--code", "3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "Hello, Ada.\n", "")
    asked = modeld("greet", "--help")
    assert (asked.returncode, asked.stdout.splitlines()[0]) == (
        ExitCode.OK,
        "Usage: modeld greet [OPTIONS] NAME",
    )
    assert modeld("greet").returncode == ExitCode.USAGE


@pytest.mark.usefixtures("zoo")
def test_what_a_plugins_command_returns_is_an_exit_code_only_if_it_is_a_number():
    done = modeld("talk")
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")


@pytest.mark.usefixtures("zoo")
def test_what_is_left_out_is_named_once_each_beside_the_help():
    done = modeld("--help")
    assert done.stderr.splitlines() == [f"modeld: warning: {warning}" for warning in WARNINGS]
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.usefixtures("zoo")
def test_the_help_of_a_command_with_settings_looks_for_those_of_plugins():
    found = imported_by("serve", "--help")
    assert "zoo_commands.plugins" in found
    assert "zoo_commands.greet" not in found


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize("args", [["version"], ["completion", "bash"]])
def test_a_built_in_command_does_not_look_for_plugins(args):
    assert not {name for name in imported_by(*args) if name.startswith("zoo_commands")}


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lost", "the command 'lost' of the plugin 'zoo-lost' cannot be used: ModuleNotFoundError"),
        (
            "odd",
            "the command 'odd' of the plugin 'zoo-odd' cannot be used: zoo_commands.greet:not_",
        ),
    ],
)
def test_a_command_that_cannot_be_imported_is_one_line_that_names_its_plugin(name, says):
    done = modeld(name)
    assert (done.returncode, done.stdout) == (ExitCode.INTERNAL, "")
    assert done.stderr.startswith(f"modeld: error: {says}")
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("zoo")
def test_an_unknown_command_is_compared_with_those_of_plugins_too():
    done = modeld("gret")
    assert done.returncode == ExitCode.USAGE
    assert "no such command: 'gret'; did you mean 'greet'?" in done.stderr
    assert "the plugin 'zoo-missing' is left out" in done.stderr


@pytest.mark.usefixtures("zoo")
def test_a_blocked_plugin_brings_no_command(monkeypatch):
    monkeypatch.setenv("MODELD_BLOCK_PLUGINS", "zoo-greeter,zoo-late,zoo-missing,zoo-thief")
    done = modeld("--help")
    assert (done.stderr, "greet" in done.stdout) == ("", False)
    assert "no such command: 'greet'" in modeld("greet").stderr
    assert "block_plugins leaves out the plugin of this name" in modeld("zoo-late").stderr


def test_a_command_that_an_extra_brings_is_named_with_it(monkeypatch, capsys):
    monkeypatch.setattr("modeld.plugins.installed_plugin.entry_points", lambda group: [])
    assert main(["bench", "http://127.0.0.1:1"]) == ExitCode.USAGE
    said = "modeld bench is not installed; `pip install modeld[bench]` brings it"
    assert said in capsys.readouterr().err
    assert main(["--help"]) == ExitCode.OK
    assert "bench" not in capsys.readouterr().out


def test_the_extras_that_bring_commands_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.values()) <= set(extras["optional-dependencies"])


def test_a_command_whose_plugin_is_blocked_is_not_said_to_be_missing(monkeypatch):
    monkeypatch.setenv("MODELD_BLOCK_PLUGINS", "bench")
    said = modeld("bench").stderr
    assert "block_plugins leaves out the plugin of this name" in said
    assert "pip install" not in said


@pytest.mark.usefixtures("zoo")
def test_wrong_settings_are_not_in_the_way_of_the_help(monkeypatch):
    monkeypatch.setenv("MODELD_MAX_QUEUE_DEPTH", "many")
    done = modeld("--help")
    assert (done.returncode, "  greet  " in done.stdout) == (ExitCode.OK, True)


def test_two_plugins_of_one_name_cost_their_commands_and_no_other(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ZOO / "same_name"))
    done = modeld("--help")
    assert done.returncode == ExitCode.OK
    assert "modeld: warning: two plugins are named" in done.stderr
    assert "\n  serve " in done.stdout


def test_where_plugins_cannot_be_looked_up_no_command_is_said_to_be_missing(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ZOO / "same_name"))
    said = modeld("bench").stderr
    assert "two plugins are named" in said
    assert "no such command: 'bench'" in said
    assert "pip install" not in said


@pytest.mark.usefixtures("zoo")
def test_a_shell_completes_plugins_commands_and_their_options():
    def completions(line: str) -> list[str]:
        asked = {"_MODELD_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": "1"}
        if line.count(" ") > 1:
            asked["COMP_CWORD"] = "2"
        done = subprocess.run(
            [MODELD], env={**os.environ, **asked}, capture_output=True, text=True, check=True
        )
        return [found.partition(",")[2] for found in done.stdout.splitlines() if found]

    assert completions("modeld gre") == ["greet"]
    assert completions("modeld greet --co") == ["--code"]
    assert completions("modeld lo") == [], "what cannot be imported is not offered"


@pytest.mark.usefixtures("zoo")
def test_the_listing_of_plugins_has_their_commands():
    rows = {line.split()[0]: line for line in modeld("plugins").stdout.splitlines()}
    assert rows["zoo-greeter"].endswith(" command greet")
    assert rows["zoo-thief"].endswith(f"  active  {THIEF}")


@pytest.mark.usefixtures("zoo")
def test_commands_that_clash_or_are_lost_stop_no_other_command(tmp_path: Path):
    done = modeld("models", "--models-dir", str(tmp_path))
    assert done.returncode == ExitCode.OK
