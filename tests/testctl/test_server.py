# SPDX-License-Identifier: GPL-3.0-only
"""The server for the browser's tests is the real one."""

from __future__ import annotations

import os
import re
import sys

import httpx
import psutil
import pytest
from testctl import server
from testctl.server import ServerError, serving


def test_it_answers_on_a_port_of_its_own_and_ends_in_order(tmp_path):
    log = tmp_path / "artifacts" / "log"
    with serving(tmp_path, None, log) as url:
        assert httpx.get(f"{url}/healthz").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz")
    assert re.search(r"modeld serves at http://127\.0\.0\.1:\d+", log.read_text())


def test_settings_of_the_person_who_tests_do_not_reach_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELD_MAX_QUEUE_DEPTH", "nonsense")
    with serving(tmp_path, None, tmp_path / "log") as url:
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_a_server_that_does_not_start_is_an_error(tmp_path, monkeypatch):
    ends = [sys.executable, "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(server, "_command", lambda *_: ends)
    with (
        pytest.raises(ServerError, match="ended by itself with exit code 3"),
        serving(tmp_path, None, tmp_path / "log"),
    ):
        pytest.fail("it has started")


def test_a_server_that_dies_under_the_tests_is_an_error(tmp_path):
    with (
        pytest.raises(ServerError, match="ended by itself with exit code -9"),
        serving(tmp_path, None, tmp_path / "log") as url,
    ):
        kill(url)


def kill(url: str) -> None:
    port = httpx.URL(url).port
    (process,) = (
        each
        for each in psutil.Process().children()
        if port in {connection.laddr.port for connection in each.net_connections()}
    )
    process.kill()
    # Its exit code is left for testctl to find.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
