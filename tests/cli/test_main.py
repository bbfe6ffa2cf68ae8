# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import click
import pytest

from modeld.cli.main import COMMANDS, ExitCode, cli, main
from modeld.commands import BUILT_IN
from modeld.errors import ConfigurationError, InternalError, ModelNotFoundError, StartError
from tests.support.cli.terminal import MODELD, modeld

pytestmark = pytest.mark.usefixtures("measured_processes")

HEAVY = {"starlette", "uvicorn", "httptools", "pydantic", "prometheus_client", "llama_cpp", "yaml"}


def commands() -> list[click.Command]:
    context = click.Context(cli)
    found = [cli.get_command(context, name) for name in COMMANDS]
    return [command for command in found if command is not None]


@pytest.mark.parametrize("args", [["--help"], ["serve", "--help"], ["run", "--help"], ["version"]])
def test_help_and_version_load_no_heavy_library(args):
    code = (
        "import sys; from modeld.cli.main import main; main(sys.argv[1:]);"
        " print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stderr.split())
    assert done.stdout


def test_the_help_names_every_command_and_the_exit_codes(capsys):
    assert main(["--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in shown
    for code in ExitCode:
        assert str(int(code)) in shown


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_every_command_is_worth_asking_for_help(command, capsys):
    assert main([command.name, "--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert f"  modeld {command.name}" in shown.partition("Example")[2]
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help, param.name
        else:
            assert f"\n  [{str(param.name).upper()}]" not in shown, "the text says what it is"


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_the_line_in_the_help_is_the_first_of_the_commands_own(command):
    assert " ".join(command.help.split()).startswith(BUILT_IN[command.name])


def test_without_a_command_the_help_is_shown_as_wrong_usage(capsys):
    assert main([]) == ExitCode.USAGE
    assert "Usage: modeld" in capsys.readouterr().err


def test_an_unknown_command_is_refused_with_the_nearest_one(capsys):
    assert main(["modles"]) == ExitCode.USAGE
    assert "no such command: 'modles'; did you mean 'models'?" in capsys.readouterr().err


def test_an_unknown_option_is_refused(capsys):
    assert main(["version", "--nonsense"]) == ExitCode.USAGE
    assert "--nonsense" in capsys.readouterr().err


def test_the_short_version_is_that_of_the_installed_distribution(capsys):
    assert main(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out == f"modeld {version('modeld')}\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("max_wait_s: too long"), ExitCode.USAGE),
        (StartError("port 80 is taken"), ExitCode.NOT_STARTED),
        (InternalError("the plugin is at fault"), ExitCode.INTERNAL),
        (ModelNotFoundError("there is no model 'x\n\x1b[2J'"), ExitCode.FAILED),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error, code, capsys, monkeypatch):
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli.get_command(click.Context(cli), "version"), "callback", fail)
    assert main(["version"]) == code
    shown = capsys.readouterr().err
    assert shown.startswith("modeld: error: ")
    assert shown.count("\n") == 1
    assert "\x1b" not in shown


def test_a_fault_of_modeld_itself_says_so_with_its_traceback(capsys, monkeypatch):
    def fail() -> None:
        raise KeyError("lost")

    monkeypatch.setattr(cli.get_command(click.Context(cli), "version"), "callback", fail)
    assert main(["version"]) == ExitCode.INTERNAL
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("modeld: internal error: 'lost'; please report it\n")


def test_a_reader_that_leaves_early_is_no_fault():
    with subprocess.Popen(
        [MODELD, "serve", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=30) == ExitCode.FAILED
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_the_exit_code_is_that_of_the_process():
    assert modeld("version").returncode == 0
    assert modeld("version", "extra").returncode == 2
