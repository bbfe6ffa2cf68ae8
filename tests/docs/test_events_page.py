# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/events.md has every event with its members, and the words that they may be."""

from __future__ import annotations

import re
from typing import Any, get_args

from modeld import events
from modeld.builtin.metrics import EXIT_CAUSES, REFUSALS
from modeld.responses import FinishReason
from modeld.status import EvictionReason
from tests.support.docs.pages import read, rows

PAGE = "reference/events.md"
KINDS: tuple[type[Any], ...] = get_args(events.Event)


def test_every_event_is_listed_with_its_members_in_their_order() -> None:
    names = {kind.__name__ for kind in KINDS}
    found = {row[0]: row[1] for row in rows(read(PAGE)) if row[0].strip("`") in names}
    assert found == {
        f"`{kind.__name__}`": ", ".join(f"`{name}`" for name in kind.__struct_fields__)
        for kind in KINDS
    }


def words(label: str) -> set[str]:
    """Return the values that the page lists for a member of an event."""
    (row,) = [row for row in rows(read(PAGE)) if row[0] == label]
    return set(re.findall(r"`(\w+)`", row[1]))


def test_the_reasons_of_an_eviction_are_listed() -> None:
    assert words("`reason` of `ModelEvicted`") == {str(reason) for reason in EvictionReason}


def test_the_causes_of_a_workers_end_are_listed() -> None:
    assert words("`cause` of `WorkerExited`") == set(EXIT_CAUSES)


def test_the_reasons_of_a_refused_connection_are_listed() -> None:
    listed = words("`reason` of `ConnectionRefused`")
    assert listed == {reason for _, reason in REFUSALS}


def test_the_good_ends_of_a_request_are_listed() -> None:
    ends = {str(reason) for reason in FinishReason} | {"answered", "cancelled", "reason"}
    assert words("`outcome` of `RequestFinished`") == ends
