# SPDX-License-Identifier: GPL-3.0-only

from __future__ import annotations

import os

import pytest

from modeld.doctor.settings import (
    check_application,
    check_config_file,
    check_keys,
    check_origins,
    check_reach,
)
from modeld.errors import ConfigurationError
from modeld.httpapi.app import create_app
from modeld.plugins.host import PluginHost
from modeld.settings import Settings, resolve
from tests.support.doctor.another_machine import bad, only

KEY = "a-key-that-nobody-knows-42"


def test_settings_that_are_not_the_defaults_are_named_with_their_origins():
    environ = {"MODELD_LOG_LEVEL": "debug"}
    finding = only(check_origins(resolve({"addr": ":1"}, environ)))
    assert finding.message == "flag --addr: addr; environment MODELD_LOG_LEVEL: log_level"
    assert finding.facts["origins"] == {
        "addr": "flag --addr",
        "log_level": "environment MODELD_LOG_LEVEL",
    }
    assert only(check_origins(resolve({}, {}))).message == "all are the defaults"


def test_a_variable_that_is_no_setting_is_a_warning():
    finding = only(bad(check_origins(resolve({}, {"MODELD_ADRR": ":1"}))))
    assert finding.message.startswith("MODELD_ADRR is no setting")
    assert "'MODELD_ADDR'" in finding.message


@pytest.mark.parametrize(
    ("mode", "content", "says"),
    [
        (0o600, "addr: ':1'", None),
        (0o644, "api_key_file: /etc/modeld/keys", None),
        (0o600, "# password: hunter2", None),
        (0o644, "# password: hunter2", "key or a password in it"),
        (0o644, "# sk-abcdefgh12345678", "key or a password in it"),
        (0o666, "addr: ':1'", "changed by others"),
        (0o664, "addr: ':1'", "changed by others"),
    ],
)
def test_a_settings_file_that_others_can_change_or_read_secrets_in(tmp_path, mode, content, says):
    file = tmp_path / "modeld.yaml"
    file.write_text(content)
    file.chmod(mode)
    finding = only(check_config_file(file))
    assert finding.level == ("warning" if says else "ok")
    assert (says or str(file)) in finding.message


def keys(tmp_path, content: str | None, mode: int = 0o600):
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    return list(check_keys(Settings(api_key_file=str(file))))


def test_good_keys_are_counted(tmp_path):
    finding = only(keys(tmp_path, f"# ours\n{KEY}\n\n{KEY}2\n"))
    assert (finding.level, finding.facts["keys"]) == ("ok", 2)


def test_without_a_key_file_there_is_nothing_to_say():
    assert list(check_keys(Settings())) == []


@pytest.mark.parametrize(
    ("content", "says"), [(None, "no such file"), ("", "has no key"), ("# x\n", "has no key")]
)
def test_a_key_file_that_is_missing_or_empty_is_an_error(tmp_path, content, says):
    finding = only(keys(tmp_path, content))
    assert finding.level == "error"
    assert says in finding.message.lower()


def test_a_key_file_that_may_not_be_read_is_not_written_over(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
    finding = only(keys(tmp_path, ""))
    assert str(finding.fix).startswith("let the user that runs the server read it")


def test_keys_that_others_can_read_or_guess_are_warnings(tmp_path):
    readable, short = bad(keys(tmp_path, f"{KEY}\nsecret\n", 0o640))
    assert "-rw-r-----" in readable.message
    assert readable.fix == f"chmod 600 {tmp_path / 'keys'}"
    assert short.message.startswith("1 of 2 keys are shorter than 20")


def test_no_key_is_ever_shown(tmp_path):
    for finding in keys(tmp_path, f"{KEY}\nsecret\n", 0o644):
        assert KEY not in str(finding)
        assert "secret" not in finding.message


@pytest.mark.parametrize(
    ("settings", "level", "says"),
    [
        (Settings(), "ok", "this machine only"),
        (Settings(addr="unix:/run/m.sock"), "ok", "umask"),
        (Settings(addr="0.0.0.0:1"), "error", "no API key protects it"),
        (Settings(addr="nonsense"), "error", "is not an address"),
        (Settings(addr="0.0.0.0:1", insecure_no_auth=True), "warning", "without a key"),
        (Settings(addr="127.0.0.1:1", insecure_no_auth=True), "ok", "this machine only"),
        (Settings(addr="0.0.0.0:1", api_key_file="keys"), "ok", "with an API key"),
    ],
)
def test_who_can_reach_the_server(settings, level, says):
    finding = only(check_reach(settings))
    assert finding.level == level
    assert says in finding.message
    assert (finding.fix is None) is (level == "ok")


FORMATTERS = ("ndjson", "sse", "plain-json")


@pytest.mark.parametrize(
    ("settings", "says", "fix"),
    [
        (Settings(cors_origins=("*",)), "cors_origins: '*' would let every page", "name the orig"),
        (Settings(cors_origins=("https://a/",)), "is no origin as browsers write it", "change the"),
        (Settings(cache_per_key=True), "without keys all clients are one", "set api_key_file too"),
        (Settings(block_plugins=FORMATTERS), "no output formatter", "take ndjson out of"),
    ],
)
def test_settings_that_the_server_does_not_start_with_are_errors_in_its_own_words(
    settings, says, fix
):
    finding = only(check_application(settings, PluginHost.discover(settings)))
    assert finding.level == "error"
    assert says in finding.message
    assert finding.fix.startswith(fix)
    with pytest.raises(ConfigurationError) as caught:
        create_app(settings, PluginHost.discover(settings))
    assert caught.value.message.startswith(finding.message)


@pytest.mark.parametrize("settings", [Settings(), Settings(api_key_file="/nowhere/keys")])
def test_of_an_application_that_can_be_made_and_of_keys_there_is_nothing_to_say(settings):
    assert list(check_application(settings, PluginHost.discover(settings))) == []
