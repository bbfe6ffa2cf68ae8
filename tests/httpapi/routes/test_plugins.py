# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from tests.support.http.fake_service import FakeService, ask, make_app


def test_plugins_are_listed_and_the_broken_ones_say_why() -> None:
    response = ask(make_app(FakeService()), "GET", "/plugins")
    assert response.json() == {
        "plugins": [
            {
                "name": "good",
                "distribution": "d",
                "version": "1",
                "state": "active",
                "provides": [],
            },
            {
                "name": "bad",
                "distribution": "",
                "version": "",
                "state": "broken",
                "provides": [],
                "reason": "why",
            },
        ]
    }
