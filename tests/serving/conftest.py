# SPDX-License-Identifier: GPL-3.0-only
import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.serving.desk import Desk


@pytest.fixture
def new_desk() -> Iterator[Callable[..., Desk]]:
    """Makes desks; their futures belong to a loop that never runs."""
    loop = asyncio.new_event_loop()
    desks: list[Desk] = []

    def new(**settings: Any) -> Desk:
        desks.append(Desk(loop, **settings))
        return desks[-1]

    yield new
    for desk in desks:
        desk.close()
    loop.close()
