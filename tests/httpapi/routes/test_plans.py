# SPDX-License-Identifier: GPL-3.0-only
"""``POST /plan``."""

from __future__ import annotations

from typing import Any

import pytest

from modeld.errors import NotSupportedError
from modeld.interfaces import ModelService
from modeld.status import ModelPlan, PlanOutcome
from modeld.values import ModelSpec
from tests.support.http.fake_service import FakeService, ask, make_app


class Planner(FakeService):
    """Says of ``a`` that others must go, and of all others what a plain one does."""

    async def plan(self, model: str) -> ModelPlan:
        if model != "a":
            return await super().plan(model)
        return ModelPlan(
            model="a",
            outcome=PlanOutcome.EVICTS,
            needed_bytes=(1 << 20) + 1,
            short_bytes=1,
            evicts=("b", "c"),
            wait_s=0.12345,
        )


class Silent(FakeService):
    """A service of an author who plans nothing."""

    async def plan(self, model: str) -> ModelPlan:
        return await ModelService.plan(self, model)


def plan(service: FakeService, body: Any) -> Any:
    return ask(make_app(service), "POST", "/plan", json=body)


def service(kind: type[FakeService] = Planner) -> FakeService:
    return kind(models=[ModelSpec(id=name, name=name, path=name) for name in "ab"])


def test_each_model_has_its_plan_in_mib_rounded_up() -> None:
    response = plan(service(), {"models": ["a", "b"]})
    assert response.status_code == 200
    assert response.json() == {
        "plans": [
            {
                "model": "a",
                "outcome": "evicts",
                "needed_mb": 2,
                "short_mb": 1,
                "evicts": ["b", "c"],
                "wait_s": 0.123,
            },
            {
                "model": "b",
                "outcome": "loads",
                "needed_mb": 1,
                "short_mb": 0,
                "evicts": [],
                "wait_s": 1.0,
            },
        ]
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "models"),
        ({"models": []}, "models"),
        ({"models": ["a"] * 65}, "models"),
        ({"models": [1]}, "models[0]"),
        ({"model": "a"}, "model"),
    ],
)
def test_what_is_wrong_in_the_body_is_named(body: Any, field: str) -> None:
    response = plan(service(), body)
    assert (response.status_code, response.json()["field"]) == (400, field)


def test_an_unknown_model_is_not_found() -> None:
    assert plan(service(), {"models": ["b", "nobody"]}).status_code == 404


def test_a_service_that_does_not_plan_says_so() -> None:
    response = plan(service(Silent), {"models": ["a"]})
    assert response.json()["reason"] == NotSupportedError.code
