# SPDX-License-Identifier: GPL-3.0-only
"""Processes and nodes die or hang under load; every request has an end that its client can see."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from ledger import account, at_rest
from modeld_ray.settings import RaySettings
from raylets import HOSTS, INGRESSES, Cluster, alive


def show(capsys: pytest.CaptureFixture[str], what: str, ends: object) -> None:
    with capsys.disabled():
        print(f"\n{what}: {ends}")


def test_a_host_that_hangs_loses_nobody_and_serves_again_when_it_goes_on(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
):
    """It hangs for longer than it may be silent, and for less than Ray takes to replace it."""
    going_on: list[threading.Timer] = []
    before = set(cluster.hosts())

    def hung() -> list[str]:
        return [each["host"] for each in cluster.status()["hosts"] if each.get("error")]

    def stop(host: str) -> None:
        pid = cluster.pid_of(host)
        silence_s = RaySettings().silence_timeout_s
        going_on.append(threading.Timer(silence_s + 3, os.kill, (pid, signal.SIGCONT)))
        os.kill(pid, signal.SIGSTOP)
        going_on[0].start()
        cluster.wait_for(lambda: hung() == [host], "the host that hangs, with its error")

    ends = account(cluster, stop)
    for timer in going_on:
        timer.join()
    show(capsys, "a host hung", dict(ends))
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
