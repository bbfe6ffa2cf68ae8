# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from modeld.cli.main import ExitCode, main
from tests.support.plugins.some_plugins import ZOO


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed plugin that cannot be imported."""
    info = tmp_path / "modeld_broken-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: modeld-broken\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[modeld]\nbroken = modeld_broken\n")
    (tmp_path / "modeld_broken.py").write_text("import no_such_runtime\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_installed_plugins_are_listed_with_what_they_bring(rig, capsys):
    assert main(["plugins"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert "modeld-rig" in rows["rig"]
    assert rows["rig"].endswith(" backend rig")
    assert rows["lru"].endswith("eviction policy lru")


def test_a_broken_plugin_is_listed_with_its_reason_and_stops_nothing(broken, capsys):
    assert main(["plugins"]) == ExitCode.FAILED
    captured = capsys.readouterr()
    assert captured.err == ""
    rows = {line.split()[0]: line for line in captured.out.splitlines()}
    assert "2.5" in rows["broken"]
    assert "broken" in rows["broken"].split()[3]
    assert "No module named 'no_such_runtime'" in rows["broken"]
    assert "active" in rows["lru"]


def test_what_is_left_out_of_an_active_plugin_is_listed_beside_what_it_brings(capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(ZOO / "commands"))
    assert main(["plugins"]) == ExitCode.FAILED
    rows = {
        line.split()[0]: line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()
    }
    assert rows["zoo-greeter"][3] == "active  command greet"
    assert rows["zoo-thief"][3] == (
        "active  its command 'serve' is left out: modeld itself has one of this name"
    )


def test_json_has_the_state_and_reason_for_programs(broken, capsys):
    assert main(["plugins", "--json"]) == ExitCode.FAILED
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["broken"]["state"] == "broken"
    assert "no_such_runtime" in rows["broken"]["reason"]
    assert rows["lru"] == {
        "name": "lru",
        "distribution": "modeld",
        "version": version("modeld"),
        "state": "active",
        "provides": ["eviction policy lru"],
        "reason": None,
        "faults": [],
    }


def test_a_blocked_plugin_is_listed_as_blocked(capsys):
    assert main(["plugins", "--json", "--block-plugins", "sse"]) == ExitCode.OK
    rows = {row["name"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert rows["sse"] == "blocked"
    assert rows["ndjson"] == "active"


FINE = {"name": "lru", "distribution": "modeld", "version": "1", "state": "active"}
FAULTY = FINE | {
    "name": "zoo",
    "provides": ["backend zoo"],
    "faults": [
        {"thing": "backend zoo", "message": "it broke", "count": 3, "last_unix": 1},
        {"thing": "backend zoo", "message": "it was late", "count": 1, "last_unix": 2},
    ],
}


@pytest.mark.parametrize(
    ("plugins", "code"), [([FINE], ExitCode.OK), ([FINE, FAULTY], ExitCode.FAILED)]
)
def test_a_server_that_runs_says_what_has_gone_wrong_later(server, capsys, plugins, code):
    server.response = 200, json.dumps({"plugins": plugins}).encode()
    assert main(["plugins", "--server", f"{server.url}/llm/"]) == code
    rows = capsys.readouterr().out
    assert server.asked == [("/llm/plugins", None, b"")]
    assert ("backend zoo; it broke (3 times); it was late" in rows) is (code == ExitCode.FAILED)


def test_a_server_is_asked_with_the_first_key(server, tmp_path):
    server.response = 200, json.dumps({"plugins": [FINE]}).encode()
    keys = tmp_path / "keys"
    keys.write_text("# mine\nsecret\nother\n")
    assert main(["plugins", "--server", server.url, "--api-key-file", str(keys)]) == ExitCode.OK
    assert server.asked == [("/plugins", "Bearer secret", b"")]


@pytest.mark.parametrize(
    ("response", "why"),
    [
        ((401, b'{"error": "a key is needed"}'), "has refused to say its plugins: 401:"),
        ((200, b"<html>"), "has not said its plugins"),
        ((200, b"{}"), "has not said its plugins"),
    ],
)
def test_what_is_no_list_is_told(server, capsys, response, why):
    server.response = response
    assert main(["plugins", "--server", server.url]) == ExitCode.FAILED
    assert why in capsys.readouterr().err


def test_a_server_that_is_not_there_is_told(server, capsys):
    server.server_close()
    assert main(["plugins", "--server", server.url]) == ExitCode.FAILED
    assert "cannot be asked for its plugins" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://", "unix:/run/modeld"])
def test_what_is_no_address_is_wrong_usage(capsys, url):
    assert main(["plugins", "--server", url]) == ExitCode.USAGE
    assert "--server" in capsys.readouterr().err


def test_a_policy_that_no_plugin_brings_is_wrong_usage(capsys):
    assert main(["plugins", "--eviction-policy", "lur"]) == ExitCode.USAGE
    assert "did you mean 'lru'?" in capsys.readouterr().err
