# SPDX-License-Identifier: GPL-3.0-only
"""Models that take hosts with them."""

from __future__ import annotations

import pytest
from modeld_ray.errors import ModelQuarantinedError
from modeld_ray.routing.quarantine import MEMORY_S, Quarantine


def test_as_many_hosts_as_may_be_lost_are_the_end_for_a_while():
    quarantine = Quarantine(3, 60.0)
    for number in range(3):
        quarantine.check("x", 10.0)
        quarantine.note_loss("x", f"host-{number}", 10.0)
    with pytest.raises(ModelQuarantinedError) as caught:
        quarantine.check("x", 30.0)
    assert caught.value.retry_after_s == 40.0
    quarantine.check("y", 30.0)
    quarantine.check("x", 70.0)


def test_many_requests_that_are_lost_with_one_host_are_one_loss():
    quarantine = Quarantine(3, 60.0)
    for _ in range(50):
        quarantine.note_loss("x", "host", 10.0)
    quarantine.check("x", 10.0)


def test_a_model_that_works_is_trusted_again():
    quarantine = Quarantine(1, 60.0)
    quarantine.note_loss("x", "host", 10.0)
    quarantine.note_served("x")
    quarantine.check("x", 10.0)


def test_what_is_long_ago_does_not_count():
    quarantine = Quarantine(2, 60.0)
    quarantine.note_loss("x", "a", 0.0)
    quarantine.note_loss("x", "b", MEMORY_S + 1)
    quarantine.check("x", MEMORY_S + 1)


def test_what_is_asked_of_any_host_is_no_models_fault():
    quarantine = Quarantine(1, 60.0)
    quarantine.note_loss("", "host", 0.0)
    quarantine.check("", 0.0)
