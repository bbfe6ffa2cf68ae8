# SPDX-License-Identifier: GPL-3.0-only
"""Finds out which API a server has and what there is to ask it for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from modeld_bench.apis.api import Api, Wish
from modeld_bench.apis.modeld_api import ModeldApi
from modeld_bench.apis.openai_api import OpenAIApi
from modeld_bench.client import TooLongError, cause, read_body
from modeld_bench.plan import Plan

DEADLINE_S: Final = 10.0
_SHOWN: Final = 8

_KINDS: Final[dict[str, type[Api]]] = {kind.name: kind for kind in (ModeldApi, OpenAIApi)}
_LISTS: Final = {"modeld": "/models", "openai": "/v1/models"}


class NotMeasurableError(Exception):
    """There is nothing at the URL that could be measured; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An API that answered; the models are those that can be used."""

    api: str
    models: Sequence[str]


async def discover(http: httpx.AsyncClient, plan: Plan) -> Api:
    """Return the API to measure, with a model chosen where there is only one.

    Raises:
        NotMeasurableError: no server, another kind of server, or no model to choose.
    """
    wish = plan.wish
    if plan.api is not None and wish.model is not None:
        return _KINDS[plan.api](wish)
    found = await _found(http, plan)
    return _KINDS[found.api](_with_model(wish, found, plan.url))


async def _found(http: httpx.AsyncClient, plan: Plan) -> _Found:
    said = []
    for api in _LISTS if plan.api is None else (plan.api,):
        status, document = await _get(http, plan, _LISTS[api])
        if status in {401, 403}:
            why = "it wants a key; give it with --api-key-file or MODELD_BENCH_API_KEY"
            if "authorization" in http.headers:
                why = "it refuses the key that was given"
            raise NotMeasurableError(f"{plan.url}{_LISTS[api]} answers {status}: {why}")
        if status == 503:
            raise NotMeasurableError(f"{plan.url}{_LISTS[api]} answers 503: it is not ready yet")
        models = _models(api, document) if status == 200 else None
        if models is not None:
            return _Found(api=api, models=models)
        said.append(f"{_LISTS[api]} answers {status}{', but no such list' * (status == 200)}")
    raise NotMeasurableError(
        f"{plan.url} has no API that is known here: {'; '.join(said)}."
        f"{_other_path(plan.url)} If the server does not list its models, give --api and --model"
    )


def _other_path(url: str) -> str:
    parts = urlsplit(url)
    return f" Is its path right, or is it {parts.scheme}://{parts.netloc}?" if parts.path else ""


async def _get(http: httpx.AsyncClient, plan: Plan, path: str) -> tuple[int, Any]:
    """Return the status and the JSON document, if it is one."""
    deadline_s = min(DEADLINE_S, plan.timeout_s)
    try:
        async with asyncio.timeout(deadline_s), http.stream("GET", path) as response:
            return response.status_code, msgspec.json.decode(await read_body(response))
    except TimeoutError as exc:
        raise NotMeasurableError(
            f"{plan.url}{path} does not answer within {deadline_s:g} s"
        ) from exc
    except httpx.ConnectError as exc:
        raise NotMeasurableError(
            f"cannot reach {plan.url}: {cause(exc)}; is this where the server listens?"
        ) from exc
    except httpx.HTTPError as exc:
        raise NotMeasurableError(
            f"{plan.url}{path} does not answer as an HTTP server does: {cause(exc)}"
        ) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, TooLongError):
        return response.status_code, None


def _models(api: str, document: Any) -> list[str] | None:
    """Return the ids of the models that can be used; none where this is not the API's list.

    llama-server answers /models too, with both lists in one document; modeld's say who owns them.
    """
    if not isinstance(document, dict):
        return None
    theirs = document.get("data")
    listed = theirs
    if api == "modeld":
        listed = document.get("models") if theirs is None or _are_ours(theirs) else None
    if not isinstance(listed, list):
        return None
    usable = [each for each in listed if isinstance(each, dict) and "problem" not in each]
    return [each["id"] for each in usable if isinstance(each.get("id"), str)]


def _are_ours(models: Any) -> bool:
    return isinstance(models, list) and all(
        isinstance(each, dict) and each.get("owned_by") == "modeld" for each in models
    )


def _with_model(wish: Wish, found: _Found, url: str) -> Wish:
    """Choose the only model there is; modeld may have a default one."""
    if wish.model is not None:
        return wish
    if len(found.models) == 1:
        return replace(wish, model=found.models[0])
    if not found.models:
        raise NotMeasurableError(f"{url} has no model that can be used")
    if found.api == "modeld":
        return wish
    names = ", ".join(found.models[:_SHOWN]) + ", …" * (len(found.models) > _SHOWN)
    raise NotMeasurableError(f"{url} has {len(found.models)} models; choose with --model: {names}")
