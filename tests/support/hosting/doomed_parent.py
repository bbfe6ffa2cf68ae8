# SPDX-License-Identifier: GPL-3.0-only
"""Starts workers in all their stages, prints their process ids, and waits to be killed."""

import asyncio
import sys

import psutil
from modeld_rig.plugin import Rig

from modeld import Settings
from modeld.hosting.host import hosting
from tests.support.hosting.rigged import Stream, plan, start


async def main(never: str) -> None:
    settings = Settings(warm_workers=1, stall_timeout_s=3600.0)
    owner = hosting(settings, (Rig(),))
    await owner.start()
    waiting = {child.pid for child in psutil.Process().children()}
    busy, hanging = await start(owner), await start(owner)
    streams = [
        Stream(busy, plan(tokens=9, gate=never, gate_at=1)),
        Stream(hanging, plan(tokens=9, fault="hang", at=1)),
    ]
    for stream in streams:
        await stream.came.wait()
    loading = asyncio.create_task(start(owner, load_gate=never))
    while len(psutil.Process().children()) < 4:  # noqa: ASYNC110  (a warm worker takes its time)
        await asyncio.sleep(0.01)
    print(*sorted(waiting | {child.pid for child in psutil.Process().children()}), flush=True)
    await loading


asyncio.run(main(sys.argv[1]))
