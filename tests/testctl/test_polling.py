# SPDX-License-Identifier: GPL-3.0-only
"""Waiting for a URL: on a clock of its own, and over real sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from testctl.commands import ROOT
from testctl.polling import Poll, ask, is_address, wait

POLL = Poll(url="http://127.0.0.1:1/", timeout_s=1.0, interval_s=0.25)


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def now_s(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def waited(responses, poll=POLL, **options):
    clock = Clock()
    given = iter(responses)
    asked_s: list[float] = []

    def ask(_url, timeout_s):
        asked_s.append(timeout_s)
        return next(given)

    return wait(poll, ask=ask, now_s=clock.now_s, sleep=clock.sleep, **options), asked_s


def test_the_first_right_status_ends_the_waiting():
    outcome, asked_s = waited(["refused", 503, 200, 200])
    assert outcome.reached
    assert (outcome.attempts, outcome.waited_s) == (3, 0.5)
    assert asked_s == [1.0, 0.75, 0.5]


def test_it_waits_as_long_as_it_was_told_and_no_longer():
    outcome, _ = waited([503] * 99)
    assert not outcome.reached
    assert (outcome.attempts, outcome.waited_s) == (5, 1.0)


def test_another_status_can_be_what_is_waited_for():
    outcome, _ = waited([200, 503], Poll(url="http://127.0.0.1:1/", status=503))
    assert outcome.attempts == 2


def test_a_server_that_is_gone_is_not_waited_for():
    outcome, asked_s = waited([], gone=lambda: "it ended")
    assert not outcome.reached
    assert not asked_s
    assert "the last: it ended" in outcome.told(POLL)


def test_without_time_it_asks_once():
    outcome, _ = waited([200], Poll(url="http://127.0.0.1:1/", timeout_s=0))
    assert outcome.reached


@pytest.mark.parametrize("url", ["localhost:80", "ftp://a/", "http://", "http://a b:x/", ""])
def test_what_is_no_address_is_known_before_asking(url):
    assert not is_address(url)


class Handler(BaseHTTPRequestHandler):
    """Redirects once, then answers that there is nothing."""

    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/" else 404)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *args) -> None:
        """Say nothing."""


@pytest.fixture
def port():
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_redirect_is_a_response_and_is_not_followed(port):
    assert ask(f"http://127.0.0.1:{port}/", 5) == 302


def poll_url(*arguments):
    command = [sys.executable, "scripts/testctl", "poll-url", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_exits_with_0_when_a_real_server_answers(port):
    done = poll_url(f"http://127.0.0.1:{port}/x", "--status", "404", "--timeout-s", "20")
    assert (done.returncode, done.stderr) == (0, "")
    assert "answered with status 404" in done.stdout


def test_the_command_exits_with_1_when_nobody_listens():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        done = poll_url(url, "--timeout-s", "0.3", "--interval-s", "0.1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "did not answer with status 200 within 0.3 s" in done.stderr
    assert "refused" in done.stderr.lower()


def test_a_server_that_accepts_and_says_nothing_is_left_in_time():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        assert ask(url, 0.1) == "no response within 0.1 s"
