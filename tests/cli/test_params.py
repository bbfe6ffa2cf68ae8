# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import re

import click
import pytest

from modeld.cli.commands.serve import command
from modeld.cli.main import ExitCode, main
from modeld.cli.params import SECTIONS, as_yaml, resolved, settings_options
from modeld.errors import ConfigurationError
from modeld.settings import TABLE, resolve
from modeld.settings.setting import default_text


def given_by(*args: str) -> dict[str, object]:
    """Return what a command with all settings is given for these arguments."""

    @click.command()
    @settings_options()
    def echo(**given: object) -> dict[str, object]:
        return given

    found = echo.main(list(args), standalone_mode=False)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def serve_help() -> str:
    return command.get_help(click.Context(command, info_name="serve"))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_the_help_shows_each_setting_with_its_variable_and_default(row, serve_help):
    shown = "".join(serve_help.split())
    kind = f"[{'|'.join(row.choices)}]" if row.choices else ""
    origin = f"[{row.variable}; default: {default_text(row)}]"
    assert "".join(f"{row.flag}{kind}".split()) in shown
    assert "".join(f"{row.help}{origin}".split()) in shown


def test_the_help_has_the_sections_in_order(serve_help):
    headings = re.findall(r"^(\S.*):$", serve_help, re.MULTILINE)
    own = [each for each in headings if not each.startswith("Settings of the plugin ")]
    assert own[-len(SECTIONS) :] == list(SECTIONS.values())


def test_every_section_begins_with_a_setting():
    assert set(SECTIONS) <= {row.name for row in TABLE}
    assert TABLE[0].name in SECTIONS


def test_only_flags_that_are_given_count():
    given = given_by("--max-wait-s", "3", "--no-insecure-no-auth")
    assert {name: value for name, value in given.items() if value is not None} == {
        "max_wait_s": "3",
        "insecure_no_auth": False,
    }


def test_a_switch_on_the_command_line_overrides_the_environment(monkeypatch):
    monkeypatch.setenv("MODELD_INSECURE_NO_AUTH", "true")
    assert resolved(given_by()).settings.insecure_no_auth is True
    result = resolved(given_by("--no-insecure-no-auth"))
    assert result.settings.insecure_no_auth is False
    assert result.origins["insecure_no_auth"] == "flag --insecure-no-auth"


def test_an_empty_text_is_a_value_too(monkeypatch):
    monkeypatch.setenv("MODELD_DEFAULT_MODEL", "other")
    assert resolved(given_by("--default-model", "")).settings.default_model == ""


def test_a_flag_works_under_its_former_name_too():
    result = resolved(given_by("--vram-budget-mb", "8GiB"))
    assert result.settings.memory_budget_mb == 8192


@pytest.mark.parametrize("order", [1, -1], ids=["the current one first", "the former one first"])
def test_a_flag_under_both_of_its_names_is_refused(order):
    given = ["--memory-budget-mb=8192", "--vram-budget-mb=4096"][::order]
    wanted = "^--vram-budget-mb is another name of --memory-budget-mb; give one of them$"
    with pytest.raises(click.UsageError, match=wanted):
        given_by(*given)


def test_the_config_flag_names_the_file(tmp_path):
    config = tmp_path / "modeld.toml"
    config.write_text("max_queue_depth = 5")
    assert resolved(given_by("--config", str(config))).settings.max_queue_depth == 5


def test_a_wrong_value_is_refused_with_its_flag():
    with pytest.raises(ConfigurationError, match=r"^--max-wait-s: "):
        resolved(given_by("--max-wait-s", "soon"))


def test_a_command_can_take_a_few_settings_only():
    @click.command()
    @settings_options("addr", "models_dir")
    def some(**given: object) -> None:
        """Do nothing."""

    assert [param.name for param in some.params] == ["config", "addr", "models_dir"]


def test_the_shown_config_is_a_file_that_means_the_same(tmp_path):
    environ = {"MODELD_MAX_WAIT_S": "7", "MODELD_BLOCK_PLUGINS": "a,b"}
    rows = '{"*": {"slots": 2}}'
    result = resolve({"addr": ":1", "default_model": "ä # 'x'.gguf", "models": rows}, environ)
    text = "\n".join(as_yaml(result))
    assert "max_wait_s: 7.0  # environment MODELD_MAX_WAIT_S" in text
    assert 'addr: ":1"  # flag --addr' in text
    config = tmp_path / "modeld.yaml"
    config.write_text(text)
    assert resolve({}, {}, str(config)).settings == result.settings


def test_serve_shows_every_setting_with_its_origin_and_stops(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MODELD_LOG_LEVEL", "error")
    config = tmp_path / "modeld.json"
    config.write_text('{"memory_budget_mb": 64}')
    code = main(["serve", "--show-config", "--config", str(config), "--max-headers", "50"])
    assert code == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    # A plugin's settings follow, indented below its name.
    assert len([line for line in lines if re.match(r"\w+: ", line)]) == len(TABLE)
    assert 'log_level: "error"  # environment MODELD_LOG_LEVEL' in lines
    assert f"memory_budget_mb: 64  # file {config}" in lines
    assert "max_headers: 50  # flag --max-headers" in lines
    assert 'readiness: "instance"  # default' in lines


def test_serve_refuses_wrong_settings_with_exit_code_2(capsys, tmp_path):
    config = tmp_path / "modeld.yaml"
    config.write_text("max_queue_dept: 3")
    assert main(["serve", "--config", str(config)]) == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert shown.startswith("modeld: error: ")
    assert "did you mean 'max_queue_depth'?" in shown
