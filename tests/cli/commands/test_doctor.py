# SPDX-License-Identifier: GPL-3.0-only
"""``modeld doctor`` as a person and a program meet it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import Any

import pytest

from modeld.cli.main import ExitCode
from tests.support.cli.terminal import Terminal, modeld
from tests.support.gguf.real_models import SMOLLM2, models_folder

SCHEMA = {"group": str, "subject": str, "level": str, "message": str, "facts": dict}


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def doctor(*args: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code, and the document."""
    done = modeld("doctor", "--json", *args)
    assert done.returncode in {ExitCode.OK, ExitCode.FAILED}, done.stderr
    document = json.loads(done.stdout)
    for finding in document["findings"]:
        for name, kind in SCHEMA.items():
            assert isinstance(finding[name], kind)
        assert (finding["fix"] is None) is (finding["level"] == "ok")
    levels = [finding["level"] for finding in document["findings"]]
    assert document["errors"] == levels.count("error")
    assert document["warnings"] == levels.count("warning")
    assert (done.returncode == ExitCode.FAILED) is (document["errors"] > 0)
    return done.returncode, document


def at(document: dict[str, Any], group: str, subject: str) -> dict[str, Any]:
    (found,) = [
        finding
        for finding in document["findings"]
        if (finding["group"], finding["subject"]) == (group, subject)
    ]
    return dict(found)


def test_a_sound_installation_has_no_error(rig, models, free_port):
    (models / "empty.gguf").unlink()
    code, document = doctor("--models-dir", str(models), "--addr", f":{free_port}")
    assert code == ExitCode.OK, [
        finding for finding in document["findings"] if finding["level"] == "error"
    ]
    groups = list(dict.fromkeys(finding["group"] for finding in document["findings"]))
    assert groups == [
        "interpreter", "settings", "plugins", "backends", "models", "memory", "address", "limits",
        "processors", "environment",
    ]  # fmt: skip
    assert at(document, "memory", "needs")["facts"]["needs"] == {"tiny.gguf": 100 << 20}
    assert "not measured" in at(document, "backends", "threads")["message"]


def test_people_get_text_and_nothing_is_changed(rig, models, free_port):
    before = sorted((path, path.stat().st_mtime_ns) for path in models.rglob("*"))
    args = ("--models-dir", str(models), "--addr", f":{free_port}")
    done = modeld("doctor", *args, "--no-measure")
    assert done.returncode == ExitCode.OK, done.stdout
    assert "\x1b" not in done.stdout
    assert "empty.gguf: it cannot be used: the file is empty" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("0 errors, ")
    assert done.stderr == "asking the backends\n"
    assert sorted((path, path.stat().st_mtime_ns) for path in models.rglob("*")) == before


def test_no_models_folder_is_an_error_and_the_rest_is_checked(rig, tmp_path, free_port):
    code, document = doctor("--models-dir", str(tmp_path / "none"), "--addr", f":{free_port}")
    assert code == ExitCode.FAILED
    assert document["errors"] == 1
    assert "make the folder" in at(document, "models", "sources")["fix"]
    assert at(document, "environment", "clock")["level"] == "ok"


def test_a_broken_plugin_is_an_error(rig, models, free_port, tmp_path, monkeypatch):
    info = tmp_path / "broken" / "modeld_broken-2.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: modeld-broken\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[modeld]\nbroken = no_such_module\n")
    monkeypatch.setenv("PYTHONPATH", f"{rig}:{info.parent}")
    code, document = doctor("--models-dir", str(models), "--addr", f":{free_port}")
    assert code == ExitCode.FAILED
    found = at(document, "plugins", "broken")
    assert "modeld-broken 2.5" in found["message"]
    assert "No module named 'no_such_module'" in found["message"]


def test_plugins_that_cannot_be_used_leave_the_machine_to_diagnose(models, free_port):
    args = ("--models-dir", str(models), "--addr", f":{free_port}", "--eviction-policy", "lur")
    code, document = doctor(*args)
    assert code == ExitCode.FAILED
    assert "'lur'" in at(document, "plugins", "plugins")["message"]
    assert at(document, "processors", "processors")["level"] == "ok"
    said = [finding["message"] for finding in document["findings"] if finding["group"] == "models"]
    assert not [message for message in said if "no usable model" in message], "nobody has looked"


def test_a_taken_port_is_an_error_that_names_who_has_it(rig, models):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, document = doctor("--models-dir", str(models), "--addr", f":{port}", "--no-measure")
    assert code == ExitCode.FAILED
    found = at(document, "address", "address")
    assert found["level"] == "error"
    assert "(pid " in found["message"]


def test_a_model_that_never_fits_is_an_error(rig, models, free_port):
    args = ("--models-dir", str(models), "--addr", f":{free_port}", "--memory-budget-mb", "50")
    code, document = doctor(*args)
    assert code == ExitCode.FAILED
    found = at(document, "memory", "tiny.gguf")
    assert "set memory_budget_mb to 101 or more" in found["fix"]


def test_settings_that_cannot_be_read_are_wrong_usage(tmp_path):
    done = modeld("doctor", "--config", str(tmp_path / "none.yaml"))
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "cannot be read" in done.stderr


def test_a_model_to_measure_with_and_no_measurement_contradict_each_other():
    done = modeld("doctor", "--no-measure", "--model", "tiny.gguf")
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "--model or --no-measure, not both" in done.stderr


def test_a_file_name_that_could_garble_the_terminal_is_escaped(rig, tmp_path, free_port):
    (tmp_path / "a\x1b[2J.gguf").write_bytes(b"")
    done = modeld("doctor", "--models-dir", str(tmp_path), "--addr", f":{free_port}")
    assert "\x1b" not in done.stdout


def test_the_real_backend_is_asked_in_a_worker_and_never_here(tmp_path, free_port):
    code = (
        "import sys; from modeld.cli.main import main;"
        f" code = main(['doctor', '--models-dir', {str(tmp_path)!r}, '--addr', ':{free_port}']);"
        " sys.exit(code or ('llama_cpp' in sys.modules) * 99)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert "llama-cpp-python" in done.stdout
    assert "built with" in done.stdout


@pytest.mark.model
@pytest.mark.slow
def test_a_real_model_is_measured_with_a_bar_on_a_terminal(free_port):
    args = ("--models-dir", str(models_folder()), "--model", SMOLLM2, "--addr", f":{free_port}")
    with Terminal("doctor", *args) as terminal:
        terminal.wait_for(f"measuring threads with {SMOLLM2}")
        terminal.wait_for("100%")
        terminal.wait_for("tokens/s written and")
        assert terminal.wait() == ExitCode.OK


@pytest.mark.model
def test_the_key_for_interrupts_ends_a_measurement_and_leaves_a_sound_terminal():
    args = ("--models-dir", str(models_folder()), "--model", SMOLLM2)
    with Terminal("doctor", *args) as terminal:
        terminal.wait_for(" 2%")
        terminal.type("\x03")
        assert terminal.wait() == ExitCode.INTERRUPTED
        assert "\x1b[?25l" not in terminal.shown  # a cursor that was hidden might stay so
