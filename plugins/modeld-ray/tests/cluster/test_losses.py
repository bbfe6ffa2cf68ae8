# SPDX-License-Identifier: GPL-3.0-only
"""Processes and nodes die or hang under load; every request has an end that its client can see."""

from __future__ import annotations

import os
import signal
import time

import pytest
from ledger import account, at_rest
from raylets import HOSTS, INGRESSES, Cluster, alive


def show(capsys: pytest.CaptureFixture[str], what: str, ends: object) -> None:
    with capsys.disabled():
        print(f"\n{what}: {ends}")


def test_a_host_that_hangs_loses_nobody_and_serves_again_when_it_goes_on(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
):
    stopped: list[int] = []
    before = set(cluster.hosts())

    def stop(host: str) -> None:
        stopped.append(cluster.pid_of(host))
        os.kill(stopped[0], signal.SIGSTOP)

    try:
        ends = account(cluster, stop)
        began_s = time.monotonic()
        hung = [each for each in cluster.status()["hosts"] if each.get("error")]
        took_s = time.monotonic() - began_s
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    show(capsys, f"a host hung (/status took {took_s:.1f} s)", dict(ends))
    assert [each["error"] for each in hung] == ["it does not answer, or is gone"]
    cluster.wait_for(lambda: set(cluster.hosts()) == before, "the host that hung")
    cluster.wait_for(lambda: at_rest(cluster), "the end of what was given up")


def test_a_host_that_is_killed_loses_nobody(cluster: Cluster, capsys: pytest.CaptureFixture[str]):
    ends = account(cluster, cluster.kill_host)
    show(capsys, "a host was killed", dict(ends))
    cluster.wait_for(lambda: len(cluster.hosts()) == HOSTS, "another host")


def test_a_node_that_is_killed_loses_nobody(cluster: Cluster, capsys: pytest.CaptureFixture[str]):
    ends = account(cluster, cluster.kill_node_of)
    show(capsys, "a node was killed", dict(ends))
    cluster.add_node()
    cluster.wait_for(lambda: len(cluster.hosts()) == HOSTS, "a host on the new node")


def test_a_dead_host_is_shown_and_breaks_no_status(cluster: Cluster):
    gone = [each for each in cluster.status()["hosts"] if each.get("error")]
    assert gone
    assert all("does not answer" in each["error"] for each in gone)


def test_no_worker_outlives_its_host(cluster: Cluster):
    here = {each["pid"] for each in cluster.status()["instances"] if each.get("pid")}
    cluster.wait_for(lambda: alive(cluster.pids) <= here, "the end of the workers of dead hosts")


def test_an_ingress_that_is_killed_cuts_responses_and_loses_no_other_request(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
):
    ends = account(
        cluster, lambda _busy: os.kill(cluster.ingress_pids()[0], signal.SIGKILL), cuts=True
    )
    show(capsys, "an ingress was killed", dict(ends))
    cluster.wait_for(lambda: len(cluster.ingress_pids()) == INGRESSES, "another ingress")
    cluster.wait_for(lambda: at_rest(cluster), "the end of what was cut off")


def test_the_node_of_an_ingress_that_is_killed_costs_no_more(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
):
    ends = account(cluster, lambda _busy: cluster.kill_door(), cuts=True)
    show(capsys, "the node of an ingress was killed", dict(ends))
    cluster.add_door()
    cluster.wait_for(lambda: len(cluster.ingress_pids()) == INGRESSES, "another ingress")
    cluster.wait_for(lambda: at_rest(cluster), "the end of what was cut off")
