# SPDX-License-Identifier: GPL-3.0-only
"""How checks are kept apart, and how what they have found is written for programs."""

from __future__ import annotations

import json
import threading

from modeld.doctor.report import Group, as_json, counts, error, ok, run_checks, warning


def fails():
    yield ok("first", "fine")
    raise OSError("unreadable")


def test_a_check_that_fails_is_an_error_and_the_others_go_on():
    first, failed, other = run_checks("disk", fails, lambda: [ok("other", "fine")]).findings
    assert (first.subject, other.subject) == ("first", "other")
    assert (failed.subject, failed.level) == ("disk", "error")
    assert "OSError: unreadable" in failed.message


def test_a_check_that_hangs_is_left_behind_with_what_it_has_found():
    gate = threading.Event()

    def hangs():
        yield ok("first", "fine")
        gate.wait()

    first, failed = run_checks("disk", hangs, limit_s=0.05).findings
    gate.set()
    assert (first.subject, failed.level) == ("first", "error")
    assert "longer than 0.05 s" in failed.message


GROUPS = [
    Group("memory", [ok("main", "plenty"), warning("swap", "in use", "buy more", used=1)]),
    Group("nothing"),
    Group("plugins", [error("bad\x1b[2J", "it broke\nhere", "mend it")]),
]


def test_programs_read_one_document():
    document = json.loads(as_json(GROUPS))
    assert (document["errors"], document["warnings"]) == (1, 1)
    assert document["findings"][1] == {
        "group": "memory",
        "subject": "swap",
        "level": "warning",
        "message": "in use",
        "fix": "buy more",
        "facts": {"used": 1},
    }
    assert counts(GROUPS) == {"ok": 1, "warning": 1, "error": 1}
