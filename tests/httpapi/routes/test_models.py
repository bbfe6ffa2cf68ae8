# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
from urllib.parse import quote

import httpx
import msgspec
import pytest
from msgspec.structs import replace
from starlette.requests import Request

from modeld.errors import ModelExceedsBudgetError
from modeld.httpapi.exchange.writing.json_response import LongDocument
from modeld.httpapi.routes import model_list, models
from modeld.values import Fit, ModelSpec
from tests.support.http.fake_service import FakeService, ask, make_app

GOOD = ModelSpec(
    id="a.gguf",
    name="A",
    path="/models/a.gguf",
    family="llama",
    quant="Q4_K_M",
    size_bytes=5,
    context_length=2048,
)
BAD = ModelSpec(id="b.gguf", name="b", path="/models/b.gguf", problem="it is empty")
STRANGE = ["with space.gguf", "50%.gguf", "..gguf", "ünï.gguf", "a+b?c#d.gguf", "refresh", "%2e"]
STRANGE += [
    "org/name/a.gguf",
    "/a.gguf",
    "a/",
    "../a",
    "a//b",
    "a%2Fb",
    "x/load",
    "load",
    "a\nb",
    "a\n",
]
STRANGE += ["日本/モデル.gguf", "a\\b", "load/unload/pin"]


def test_models_are_listed_with_the_fields_of_the_seed_and_their_problems() -> None:
    response = ask(make_app(FakeService(models=[GOOD, BAD])), "GET", "/models")
    assert response.json() == {
        "models": [
            {
                "id": "a.gguf",
                "name": "A",
                "path": "/models/a.gguf",
                "quant": "Q4_K_M",
                "family": "llama",
                "size_bytes": 5,
                "context_length": 2048,
            },
            {
                "id": "b.gguf",
                "name": "b",
                "path": "/models/b.gguf",
                "quant": "",
                "family": "",
                "size_bytes": 0,
                "problem": "it is empty",
            },
        ],
        "object": "list",
        "data": [{"id": "a.gguf", "object": "model", "created": 0, "owned_by": "modeld"}],
    }


def test_the_aliases_of_a_model_are_listed() -> None:
    spec = replace(GOOD, aliases=("gpt", "best"))
    response = ask(make_app(FakeService(models=[spec])), "GET", "/models")
    assert response.json()["models"][0]["aliases"] == ["gpt", "best"]


def test_very_many_models_are_listed_in_turns_and_written_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    specs = tuple(ModelSpec(id=f"{n:04}", name="m", path=f"/m/{n}") for n in range(1500))
    written: list[str] = []

    def counted(spec: ModelSpec) -> dict[str, object]:
        written.append(spec.id)
        return item_of(spec)

    item_of = model_list.item_of
    monkeypatch.setattr(model_list, "item_of", counted)
    service = FakeService(models=specs)
    route = models.Models(service)

    async def listed() -> list[str]:
        response = await route.list(Request({"type": "http", "query_string": b"", "headers": []}))
        assert isinstance(response, LongDocument)
        document = msgspec.json.decode(b"".join(response.pieces))
        found = [model["id"] for model in document["models"]]
        assert [model["id"] for model in document["data"]] == found
        return found

    async def main() -> None:
        assert await listed() == await listed() == written == [spec.id for spec in specs]
        service.specs = specs[:2]
        assert await listed() == ["0000", "0001"]

    asyncio.run(main())


def test_models_are_listed_in_pages() -> None:
    specs = [ModelSpec(id=f"{n}", name="m", path=f"/m/{n}") for n in range(5)]
    service = FakeService(models=specs[::-1])

    def page(query: str) -> tuple[list[str], str | None]:
        document = ask(make_app(service), "GET", f"/models?{query}").json()
        ids = [model["id"] for model in document["models"]]
        assert [model["id"] for model in document["data"]] == ids
        return ids, document.get("next")

    assert page("limit=2") == (["0", "1"], "1")
    assert page("limit=2&after=1") == (["2", "3"], "3")
    assert page("limit=2&after=3") == (["4"], None)
    assert page("after=2x") == (["3", "4"], None), "a model that has gone leaves its place"
    assert page("limit=5") == (["0", "1", "2", "3", "4"], None)
    assert page("after=9") == ([], None)


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "1.5", "", "99999999999"])
def test_a_wrong_limit_is_refused_by_name(limit: str) -> None:
    response = ask(make_app(FakeService(models=[GOOD])), "GET", f"/models?limit={limit}")
    assert (response.status_code, response.json()["field"]) == (400, "limit")


def test_a_client_that_has_the_list_does_not_get_it_again() -> None:
    service = FakeService(models=[GOOD, BAD])

    def get(query: str, method: str = "GET", **headers: str) -> httpx.Response:
        return ask(make_app(service), method, f"/models{query}", headers=headers)

    for query in ("", "?limit=1"):
        first = get(query)
        tag = first.headers["etag"]
        assert first.headers["cache-control"] == "private, no-cache"
        for sent in (tag, f'"other", W/{tag}', "*"):
            again = get(query, **{"If-None-Match": sent})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        other = get(query, **{"If-None-Match": '"other"'})
        assert (other.status_code, other.json()) == (200, first.json())
        assert get(query, "HEAD").headers["etag"] == tag
    tag = get("").headers["etag"]
    service.specs = [GOOD]
    changed = get("", **{"If-None-Match": tag})
    assert (changed.status_code, len(changed.json()["models"])) == (200, 1)


def test_an_item_has_the_members_that_are_described() -> None:
    full = replace(
        GOOD,
        problem="bad",
        capabilities=("text",),
        aliases=("b",),
        names=("c",),
        preset_of="d",
        projector="/models/p.gguf",
        hosts=("h",),
    )
    full = replace(full, need_bytes=(3 << 20) + 1, fit=Fit.NEVER, short_by_bytes=1, gives_up="x")
    item = model_list.item_of(full)
    assert set(item) == set(model_list.ModelItem.model_fields)
    assert (item["need_mb"], item["fit"], item["short_by_mb"]) == (4, "never", 1)


def test_refreshing_looks_again_and_lists() -> None:
    service = FakeService(models=[GOOD])
    response = ask(make_app(service), "POST", "/models/refresh")
    assert [m["id"] for m in response.json()["models"]] == ["a.gguf"]
    assert "refresh" in service.calls


@pytest.mark.parametrize("model", ["a.gguf", *STRANGE])
@pytest.mark.parametrize(("verb", "state"), [("load", "ready"), ("unload", "absent")])
def test_a_model_is_loaded_and_unloaded_by_any_id(model: str, verb: str, state: str) -> None:
    service = FakeService(models=[ModelSpec(id=model, name="m", path="/m")])
    response = ask(make_app(service), "POST", f"/models/{quote(model, safe='')}/{verb}")
    assert response.status_code == 200
    assert response.json() == {"model": model, "state": state}
    assert f"{verb} {model}" in service.calls


@pytest.mark.parametrize("verb", ["load", "unload", "pin", "unpin"])
def test_slashes_of_an_id_may_be_sent_as_they_are(verb: str) -> None:
    service = FakeService(models=[ModelSpec(id="org/na me/a.gguf", name="m", path="/m")])
    response = ask(make_app(service), "POST", f"/models/org/na%20me/a.gguf/{verb}")
    assert (response.status_code, response.json()["model"]) == (200, "org/na me/a.gguf")


@pytest.mark.parametrize("path", ["/models//load", "/models/load", "/models/a.gguf/nothing"])
def test_a_path_without_an_id_or_without_a_verb_is_no_route(path: str) -> None:
    response = ask(make_app(FakeService(models=[GOOD])), "POST", path)
    assert (response.status_code, response.json()["reason"]) == (404, "not_found")


@pytest.mark.parametrize("verb", ["load", "unload", "pin", "unpin"])
@pytest.mark.parametrize(
    "model",
    ["nope", "..%2f..%2fetc%2fpasswd", "a%2fb", "%2e%2e", "a%00b", "a%5cb", "C%3A", "a%0ab"],
)
def test_what_is_no_model_is_404(verb: str, model: str) -> None:
    response = ask(make_app(FakeService(models=[GOOD])), "POST", f"/models/{model}/{verb}")
    assert response.status_code == 404
    assert response.json()["reason"] == "model_not_found"


def test_a_model_that_cannot_be_loaded_says_why() -> None:
    class Full(FakeService):
        async def load(self, model: str, **_kept: object) -> None:
            raise ModelExceedsBudgetError("needs 5 MiB, 4 are allowed", field="model")

    response = ask(make_app(Full()), "POST", "/models/a.gguf/load")
    assert response.status_code == 507
    assert response.json()["reason"] == "model_exceeds_budget"


@pytest.mark.parametrize("model", ["a.gguf", *STRANGE])
@pytest.mark.parametrize(("verb", "pinned"), [("pin", True), ("unpin", False)])
def test_a_model_is_pinned_and_unpinned_by_any_id(model: str, verb: str, pinned: bool) -> None:
    spec = ModelSpec(id=model, name="A", path="/models/a.gguf")
    service = FakeService(models=[spec])

    response = ask(make_app(service), "POST", f"/models/{quote(model, safe='')}/{verb}")

    assert response.json() == {"model": model, "pinned": pinned}
    assert f"{verb} {model}" in service.calls


@pytest.mark.parametrize("verb", ["pin", "unpin"])
def test_an_unknown_model_can_be_neither_pinned_nor_unpinned(verb: str) -> None:
    response = ask(make_app(FakeService()), "POST", f"/models/no.gguf/{verb}")
    assert (response.status_code, response.json()["reason"]) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["refresh", "a/load", "a/unload", "a/pin", "a/unpin"])
def test_a_body_where_none_is_taken_is_refused_and_nothing_is_done(path: str) -> None:
    service = FakeService(models=[ModelSpec(id="a", name="m", path="/m")])
    response = ask(make_app(service), "POST", f"/models/{path}", json={"keep_alive": 5})
    assert (response.status_code, response.json()["field"]) == (400, "keep_alive")
    assert not [call for call in service.calls if call.split()[0] in path]
    service = FakeService(models=[ModelSpec(id="a", name="m", path="/m")])
    assert ask(make_app(service), "POST", f"/models/{path}", json={}).status_code == 200
