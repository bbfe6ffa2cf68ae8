# SPDX-License-Identifier: GPL-3.0-only
"""The settings of plugins on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.shell_completion import ShellComplete

from modeld.cli.main import ExitCode, cli, main
from tests.support.plugins.some_plugins import ZOO


@pytest.fixture(autouse=True)
def zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ZOO / "settings"))


def shown_config(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["serve", "--show-config", *args]) == ExitCode.OK
    return capsys.readouterr().out


def test_the_config_is_shown_with_all_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = shown_config(capsys, "--zoo-shelf-most", "7").splitlines()
    at = lines.index("zoo-shelf:")
    assert '  folder: "~/texts"  # default' in lines[at:]
    assert "  most: 7  # flag --zoo-shelf-most" in lines[at:]
    assert "zoo-plain:" not in lines


def test_the_shown_config_is_a_file_that_means_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = '[{"url": "http://a", "weight": 3}]'
    given = ("--zoo-shelf-servers", servers, "--no-zoo-shelf-sorted", "--zoo-shelf-suffixes=.a,.b")
    config = tmp_path / "modeld.yaml"
    config.write_text(shown_config(capsys, *given))

    again = yaml.safe_load(shown_config(capsys, "--config", str(config)))

    assert again == yaml.safe_load(config.read_text())
    assert again["zoo-shelf"]["servers"] == [{"url": "http://a", "key": "", "weight": 3}]


def test_secrets_are_masked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "modeld.json"
    servers = [{"url": "http://a", "key": "s3cret"}]
    config.write_text(json.dumps({"zoo-shelf": {"token": "t0ken", "servers": servers}}))
    shown = shown_config(capsys, "--config", str(config))
    assert "t0ken" not in shown
    assert "s3cret" not in shown
    assert f'  token: "***"  # file {config}' in shown.splitlines()


@pytest.mark.parametrize("command", ["serve", "doctor", "models", "plugins", "run"])
def test_the_help_shows_a_plugins_settings_in_a_section(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == ExitCode.OK
    text = capsys.readouterr().out
    section = text.partition("Settings of the plugin zoo-shelf:")[2]
    assert "--zoo-shelf-folder" in section
    assert "MODELD_ZOO_SHELF_FOLDER" in section
    assert "--zoo-shelf-sorted / --no-zoo-shelf-sorted" in section


def test_a_wrong_value_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--zoo-shelf-most", "0"]) == ExitCode.USAGE
    assert "--zoo-shelf-most: expected a whole number of 1 or more" in capsys.readouterr().err


def test_an_unknown_flag_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--zoo-shelf-mots", "1"]) == ExitCode.USAGE
    assert "--zoo-shelf-most" in capsys.readouterr().err


def test_a_blocked_plugin_has_no_flags(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["serve", "--block-plugins", "zoo-shelf", "--zoo-shelf-most", "1"]
    assert main(given) == ExitCode.USAGE
    assert "No such option" in capsys.readouterr().err


def test_a_source_has_the_settings_of_its_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "--json", "--zoo-shelf-folder", "/texts"])
    models = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert models["poem"]["path"] == "/texts"


def test_commands_of_plugins_have_their_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELD_ZOO_SPEAKER_WORDS", "Say something.")
    assert main(["--help"]) == ExitCode.OK
    assert "Say something." in capsys.readouterr().out


def test_a_shell_completes_the_flags_of_plugins() -> None:
    complete = ShellComplete(cli, {}, "modeld", "_MODELD_COMPLETE")
    found = complete.get_completions(["serve"], "--zoo-shelf-m")
    assert [each.value for each in found] == ["--zoo-shelf-most"]
