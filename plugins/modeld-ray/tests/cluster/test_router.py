# SPDX-License-Identifier: GPL-3.0-only
"""What Ray's router is told. No cluster is needed for it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from modeld_ray.router import HostRouter
from modeld_ray.routing.placement import Wish


def test_there_is_always_a_host_to_ask_also_where_the_one_that_is_meant_is_gone():
    """Ray asks again at once where there is none, for ever, and routes nothing meanwhile."""
    router = HostRouter.__new__(HostRouter)
    router.initialize_state()
    there = SimpleNamespace(replica_id=SimpleNamespace(unique_id="a"), routing_stats={})
    pending = SimpleNamespace(
        kwargs={"wish": Wish(model="", only="gone")},
        routing_context=SimpleNamespace(should_backoff=False),
    )
    found = asyncio.run(router.choose_replicas(cast("Any", [there]), cast("Any", pending)))
    assert found == [[there]]
    assert pending.routing_context.should_backoff
