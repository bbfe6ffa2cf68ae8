# SPDX-License-Identifier: GPL-3.0-only
"""The units in `deploy/systemd` fit the server, and systemd has nothing to say against them."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from modeld.cli.main import COMMANDS
from modeld.httpapi.server.capacity import wanted_files
from modeld.httpapi.server.run import CLOSE_S, FAILED
from modeld.httpapi.server.server import INTERNAL_ERROR, NOT_STARTED
from modeld.settings import Settings, resolve
from tests.support.deploy.programs import program, run
from tests.support.deploy.running import started, taking_over
from tests.support.deploy.units import DROP_INS, SYSTEMD, entries, rules, value
from tests.support.gguf.real_models import SMOLLM2, models_folder

UNIT = "modeld.service"
WRONG_SETTINGS = 2
HIGHEST_EXPOSURE = 2.0
TOGETHER = [
    drop_ins
    for number in range(len(DROP_INS) + 1)
    for drop_ins in itertools.combinations(DROP_INS, number)
    if not {"network.conf", "no-network.conf"} <= set(drop_ins)
]
"""The drop-ins that make sense together."""


def seconds(name: str) -> float:
    return float(value(name, UNIT))


def test_stopping_takes_no_longer_than_systemd_waits() -> None:
    drain_s = resolve({}, {}, str(SYSTEMD / "modeld.yaml")).settings.drain_timeout_s
    assert drain_s > Settings().drain_timeout_s
    assert seconds("TimeoutStopSec") > drain_s + 3 * CLOSE_S


def test_the_watchdog_outlasts_the_close_in_which_no_sign_of_life_comes() -> None:
    assert seconds("WatchdogSec") > 2 * CLOSE_S


def test_only_faults_and_failed_starts_are_tried_again() -> None:
    assert value("Restart", UNIT) == "on-failure"
    prevented = {int(code) for code in value("RestartPreventExitStatus", UNIT).split()}
    assert prevented == {FAILED, WRONG_SETTINGS}
    assert not prevented & {NOT_STARTED, INTERNAL_ERROR}


def test_as_many_files_may_be_open_as_connections_need() -> None:
    assert int(value("LimitNOFILE", UNIT)) >= wanted_files(Settings().max_connections)


def test_the_service_is_nobody_and_its_sockets_are_for_this_machine() -> None:
    assert value("DynamicUser", UNIT) == "yes"
    assert value("SocketMode", "modeld.socket") == "0660"
    tcp, unix = (each for name, each in entries("modeld.socket") if name == "ListenStream")
    assert tcp.startswith("127.0.0.1:")
    assert unix.startswith("/run/")


def test_the_server_is_started_by_a_command_that_exists() -> None:
    _, command, *_ = value("ExecStart", UNIT).split()
    assert command in COMMANDS


def test_the_settings_file_can_be_used() -> None:
    settings = resolve({}, {}, str(SYSTEMD / "modeld.yaml")).settings
    assert settings.models_dir == "/srv/modeld"
    assert settings.readiness == "accepting"
    assert "localhost" in settings.trusted_hosts


def test_the_key_file_of_systemd_is_the_one_that_modeld_reads() -> None:
    name, _, _ = value("LoadCredential", "api-keys.conf").partition(":")
    assert value("Environment", "api-keys.conf") == f"MODELD_API_KEY_FILE=%d/{name}"


def test_every_drop_in_says_where_it_goes() -> None:
    for name in DROP_INS:
        text = (SYSTEMD / name).read_text()
        assert f"/etc/systemd/system/modeld.service.d/{name}" in text, name
        assert entries(name), name


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return the units as systemd finds them, with a program that exists."""
    for name in (UNIT, "modeld.socket"):
        text = (SYSTEMD / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/modeld/bin/modeld", sys.executable))
    (tmp_path / "modeld.service.d").mkdir()
    return tmp_path


def add(installed: Path, drop_ins: Sequence[str]) -> None:
    for name in drop_ins:
        shutil.copy(SYSTEMD / name, installed / "modeld.service.d")


@pytest.mark.debian
@pytest.mark.parametrize("drop_ins", TOGETHER, ids="+".join)
def test_systemd_has_no_complaint(installed: Path, drop_ins: Sequence[str]) -> None:
    analyze = program("systemd-analyze", "systemd")
    add(installed, drop_ins)
    assert run(analyze, "verify", installed / UNIT, installed / "modeld.socket") == (0, "")


@pytest.mark.debian
@pytest.mark.parametrize("drop_ins", TOGETHER, ids="+".join)
def test_the_service_is_hardly_exposed(installed: Path, drop_ins: Sequence[str]) -> None:
    analyze = program("systemd-analyze", "systemd")
    add(installed, drop_ins)
    code, said = run(analyze, "security", "--offline=true", "--no-pager", installed / UNIT)
    found = re.search(r"Overall exposure level for modeld.service: (\S+)", said)
    assert code == 0, said
    assert found is not None, said
    assert float(found[1]) <= HIGHEST_EXPOSURE


PROBE = """
import mmap, os, socket
def refused(call):
    try:
        call()
    except OSError as exc:
        return exc.errno
    return 0
print([
    refused(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)),
    refused(lambda: os.setpriority(os.PRIO_PROCESS, 0, 1)),
    refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    refused(lambda: socket.socket(socket.AF_UNIX)),
])
"""


@pytest.mark.debian
def test_the_rules_of_the_unit_bind_a_program_here() -> None:
    program("systemd-analyze", "systemd")
    command = [*confined(UNIT), sys.executable, "-c", PROBE]
    assert run(*command) == (0, "[1, 1, 97, 0]\n")


def confined(*files: str) -> list[str]:
    """Return the beginning of a command that runs under the system call rules of a unit."""
    return [
        sys.executable,
        str(Path(__file__).parents[1] / "support" / "deploy" / "confined.py"),
        json.dumps(rules(*files)._asdict()),
    ]


BODIES = ({"prompt": "Hello"}, {"messages": [{"role": "user", "content": "Hi"}]})
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.debian
@pytest.mark.model
def test_a_real_model_is_served_under_the_rules_of_the_unit() -> None:
    program("systemd-analyze", "systemd")
    arguments = ("--addr", ":0", "--models-dir", str(models_folder()))
    with started(*arguments, "--default-model", SMOLLM2, wrapper=confined(UNIT)) as server:
        url = server.address()
        assert "Seccomp:\t2\n" in Path(f"/proc/{server.process.pid}/status").read_text()
        for body in BODIES:
            extra = {"max_tokens": 8, "json_schema": SCHEMA}
            response = httpx.post(f"{url}/infer", json={**body, **extra}, timeout=60)
            assert json.loads(response.text.splitlines()[-1]).get("done"), response.text
        server.terminate()
        assert server.exit_code() == 0
        assert "not permitted" not in server.log()


@pytest.mark.debian
def test_sockets_of_systemd_are_served_without_a_network() -> None:
    program("systemd-analyze", "systemd")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wrapper = [*confined(UNIT, "no-network.conf"), *taking_over(listener.fileno())]
        with started(wrapper=wrapper, pass_fds=[listener.fileno()]) as server:
            response = httpx.get(f"{server.address()}/healthz", timeout=60)
            assert response.text == "ok"
            server.terminate()
            assert server.exit_code() == 0
