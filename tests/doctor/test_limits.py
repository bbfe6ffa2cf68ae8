# SPDX-License-Identifier: GPL-3.0-only

from __future__ import annotations

import pytest

from modeld.doctor.limits import check_address_space, check_limits
from modeld.doctor.processors import (
    Processors,
)
from modeld.settings import Settings
from tests.support.doctor.another_machine import (
    GIB,
    MIB,
    bad,
    by_subject,
    limits,
    machine,
    only,
    stocked,
)

FOUR = Processors(4, 4, 4, None)


def test_without_limits_there_is_nothing_to_do(tmp_path):
    assert bad(check_limits(Settings(), machine(tmp_path))) == []


@pytest.mark.parametrize(
    ("given", "subject", "says"),
    [
        ({"NOFILE": (256, 1024)}, "open files", "1024 are allowed (ulimit -Hn)"),
        ({"NPROC": (100, 100)}, "processes", "100 processes and threads"),
        ({"CORE": (GIB, GIB)}, "core dumps", "prompts and keys"),
    ],
)
def test_a_limit_that_is_too_low_or_too_high_is_a_warning(tmp_path, given, subject, says):
    finding = only(bad(check_limits(Settings(), machine(tmp_path, limit=limits(**given)))))
    assert (finding.subject, finding.level) == (subject, "warning")
    assert says in finding.message


def test_a_soft_limit_of_open_files_is_raised_by_the_server_itself(tmp_path):
    here = machine(tmp_path, limit=limits(NOFILE=(1024, 1 << 20), MEMLOCK=(8 * MIB, 8 * MIB)))
    found = by_subject(check_limits(Settings(), here))
    assert found["open files"].level == "ok"
    assert "the server raises that" in found["open files"].message
    assert found["locked memory"].facts["memlock_bytes"] == 8 * MIB
    unlimited = by_subject(check_limits(Settings(), machine(tmp_path)))["locked memory"]
    assert unlimited.facts["memlock_bytes"] is None


@pytest.mark.parametrize(
    ("limit_gib", "worker_mb", "level"),
    [(8, 0, "ok"), (2, 0, "error"), (None, 2000, "error"), (None, 9000, "ok")],
)
def test_a_worker_needs_addresses_for_its_model(tmp_path, limit_gib, worker_mb, level):
    given = limits(AS=(limit_gib * GIB,) * 2) if limit_gib else limits()
    here = machine(tmp_path, limit=given)
    settings = Settings(worker_memory_mb=worker_mb)
    finding = only(check_address_space(settings, here, stocked(small=100, large=4000)))
    assert finding.level == level
    assert ("large" in finding.message) is (level == "error")


def test_any_addresses_are_enough_without_a_limit(tmp_path):
    assert list(check_address_space(Settings(), machine(tmp_path), stocked(a=1))) == []
