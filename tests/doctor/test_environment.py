# SPDX-License-Identifier: GPL-3.0-only

from __future__ import annotations

import pytest

from modeld.doctor.environment import check_clock, check_container, check_manager
from modeld.doctor.processors import (
    Processors,
)
from modeld.machine.files import Machine
from tests.support.doctor.another_machine import (
    bad,
    machine,
    only,
)

FOUR = Processors(4, 4, 4, None)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "does not run in a unit"),
        ({"INVOCATION_ID": "1"}, "without a notify socket"),
        ({"NOTIFY_SOCKET": "/x", "INVOCATION_ID": "1"}, "with a notify socket"),
    ],
)
def test_it_is_known_whether_systemd_has_started_this(tmp_path, environ, says):
    finding = only(check_manager(machine(tmp_path, environ=environ)))
    assert says in finding.message


@pytest.mark.parametrize(
    ("files", "environ", "kind"),
    [
        ({}, {}, None),
        ({"/.dockerenv": ""}, {}, "Docker"),
        ({"/run/.containerenv": ""}, {}, "Podman"),
        ({}, {"container": "systemd-nspawn"}, "systemd-nspawn"),
        ({"/.dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "Kubernetes"),
        ({"/proc/1/cgroup": "0::/kubepods.slice/x\n"}, {}, "kubepods"),
    ],
)
def test_a_container_is_known_for_one(tmp_path, files, environ, kind):
    files = {"/dev/shm/x": "", "/proc/self/stat": "1"} | files
    finding = only(check_container(machine(tmp_path, files, environ=environ)))
    assert (finding.level, finding.facts["container"]) == ("ok", kind)


def test_what_a_container_lacks_is_a_warning(tmp_path):
    (tmp_path / "proc").mkdir()
    shared, proc = bad(check_container(machine(tmp_path)))
    assert "/dev/shm" in shared.message
    assert (proc.subject, "not mounted" in proc.message) == ("/proc", True)


@pytest.mark.parametrize(("now", "level"), [(0.0, "warning"), (1_800_000_000.0, "ok")])
def test_a_clock_from_before_modeld_is_a_warning(tmp_path, now, level):
    assert only(check_clock(machine(tmp_path, now_unix=lambda: now))).level == level


def test_the_clock_of_this_machine_is_right():
    assert bad(check_clock(Machine())) == []
