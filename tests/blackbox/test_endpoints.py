# SPDX-License-Identifier: GPL-3.0-only
"""The seed's endpoints, over real sockets against a server process."""

import json
from pathlib import Path

import httpx
import pytest

from tests.support.http.served import Served, serving


def test_it_is_alive(server: Served) -> None:
    response = server.get("/healthz")
    assert (response.status_code, response.text) == (200, "ok")


def test_it_is_ready_only_after_the_first_infer(rig_models: Path) -> None:
    with serving(rig_models, "--default-model", "a.gguf") as served:
        before = served.get("/readyz")
        assert (before.status_code, before.text) == (503, "loading")
        assert served.get("/readyz?model=a.gguf").status_code == 503
        assert served.post("/infer", {"prompt": "hello"}).status_code == 200
        after = served.get("/readyz")
        assert (after.status_code, after.text) == (200, "ready")
        assert served.get("/readyz?model=a.gguf").status_code == 200
        assert served.get("/readyz?model=b.gguf").status_code == 503


def test_readiness_can_mean_that_requests_are_taken(rig_models: Path) -> None:
    with serving(rig_models, "--readiness", "accepting") as served:
        assert served.get("/readyz").status_code == 200


def test_models_are_listed_and_broken_ones_say_why(server: Served) -> None:
    models = {model["id"]: model for model in server.get("/models").json()["models"]}
    assert set(models) == {"a.gguf", "b.gguf", "broken.gguf"}
    assert models["a.gguf"]["name"] == "Model A"
    assert models["a.gguf"]["family"] == "rig"
    assert models["a.gguf"]["path"].endswith("/a.gguf")
    assert "it is no GGUF file" in models["broken.gguf"]["problem"]


def test_the_default_model_answers_a_request_that_names_none(server: Served) -> None:
    response = server.post("/infer", {"prompt": "hello big world"})
    assert response.headers["content-type"] == "application/x-ndjson"
    *tokens, done = [json.loads(line) for line in response.text.splitlines()]
    assert tokens == [{"token": "hello "}, {"token": "big "}, {"token": "world "}]
    assert done["done"] is True
    assert done["content"] == "hello big world "
    assert done["finish_reason"] == "stop"
    assert done["usage"]["completion_tokens"] == 3


def test_a_named_model_answers(server: Served) -> None:
    response = server.post("/infer", {"model": "b.gguf", "prompt": "hi", "stream": False})
    assert response.headers["content-type"].startswith("application/json")
    assert response.json()["content"] == "hi "
    assert server.instance("b.gguf")["state"] == "ready"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"model": "none.gguf", "prompt": "x"}, 404, "model_not_found"),
        ({"model": "broken.gguf", "prompt": "x"}, 422, "invalid_model"),
        ({"prompt": ""}, 400, "prompt_required"),
        ({}, 400, "prompt_required"),
        ({"prompt": "x", "max_tokens": 0}, 400, "invalid_request"),
        ({"prompt": "x", "temprature": 1}, 400, "invalid_request"),
        ({"prompt": '{"refuse": "no"}'}, 400, "invalid_request"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused(
    server: Served, body: dict[str, object], status: int, reason: str
) -> None:
    response = server.post("/infer", body)
    assert response.status_code == status
    assert response.json()["code"] == status
    assert response.json()["reason"] == reason
    assert response.json()["error"]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {"content-type": "application/json", "content-encoding": "gzip"}, 415),
        (b'{"prompt": NaN}', {"content-type": "application/json"}, 400),
        (b'{"prompt": "x", "temperature": 1e400}', {"content-type": "application/json"}, 400),
        (b'{"prompt": "\\ud800"}', {"content-type": "application/json"}, 400),
        (b"[" * 65 + b"]" * 65, {"content-type": "application/json"}, 400),
        (b'{"prompt":"' + b"x" * (1 << 20) + b'"}', {"content-type": "application/json"}, 413),
    ],
)
def test_a_body_that_is_not_what_it_should_be_is_refused(
    server: Served, content: bytes, headers: dict[str, str], status: int
) -> None:
    response = httpx.post(server.url + "/infer", content=content, headers=headers)
    assert response.status_code == status


def test_a_chunked_body_over_the_limit_is_refused(server: Served) -> None:
    parts = (b"x" * 65536 for _ in range(17))
    response = httpx.post(
        server.url + "/infer", content=parts, headers={"content-type": "application/json"}
    )
    assert response.status_code == 413


def test_status_has_the_seeds_fields(server: Served) -> None:
    server.post("/infer", {"prompt": "hello"})
    status = server.status()
    assert {"instances", "budget_mb", "used_est_mb", "margin_mb"} <= set(status)
    instance = server.instance("a.gguf")
    assert {"model_id", "state", "last_used_unix", "est_vram_mb", "queue_len"} <= set(instance)
    assert instance["est_vram_mb"] == 100
    assert instance["last_used_unix"] > 0


def test_reads_never_load_a_model(rig_models: Path) -> None:
    with serving(rig_models) as served:
        for path in ("/status", "/models", "/metrics", "/healthz", "/readyz", "/plugins"):
            served.get(path)
        assert served.status()["loads_total"] == 0


def test_metrics_count_requests_by_route_template(server: Served) -> None:
    server.post("/infer", {"prompt": "hello"})
    for number in range(20):
        server.get(f"/nothing/{number}")
        server.post("/infer", {"model": f"junk-{number}", "prompt": "x"})
    text = server.get("/metrics").text
    assert 'modeld_http_requests_total{method="POST",path="/infer",status="200"}' in text
    assert "junk" not in text
    assert "/nothing" not in text


def test_a_model_can_be_loaded_and_unloaded(server: Served) -> None:
    assert server.post("/models/b.gguf/load").json() == {"model": "b.gguf", "state": "ready"}
    assert server.instance("b.gguf")["state"] == "ready"
    assert server.post("/models/b.gguf/unload").json() == {"model": "b.gguf", "state": "absent"}
    assert server.state("b.gguf") == "absent"
    assert server.post("/models/none.gguf/load").status_code == 404


def test_new_files_are_found_on_refresh(tmp_path: Path) -> None:
    from tests.support.gguf.tiny_gguf import write_gguf

    with serving(tmp_path) as served:
        assert served.get("/models").json()["models"] == []
        write_gguf(tmp_path / "new.gguf", "rig")
        found = served.post("/models/refresh").json()["models"]
        assert [model["id"] for model in found] == ["new.gguf"]


def test_plugins_are_listed(server: Served) -> None:
    plugins = {plugin["name"]: plugin for plugin in server.get("/plugins").json()["plugins"]}
    assert plugins["rig"]["state"] == "active"
    assert plugins["lru"]["provides"] == ["eviction policy lru"]


def test_the_same_document_describes_the_api_at_both_addresses(server: Served) -> None:
    document = server.get("/openapi.json").json()
    assert document == server.get("/swagger/doc.json").json()
    assert "/infer" in document["paths"]
    page = server.get("/swagger/index.html")
    assert page.status_code == 200
    assert "default-src" in page.headers["content-security-policy"]


@pytest.mark.parametrize("suffix", ["yaml", "json", "toml"])
def test_the_three_kinds_of_config_file_mean_the_same(
    tmp_path: Path, rig_models: Path, suffix: str
) -> None:
    texts = {
        "yaml": "addr: '127.0.0.1:0'\nmodels_dir: {dir}\nmemory_budget_mb: 250\n"
        "memory_margin_mb: 50\n"
        "default_model: b.gguf\nmodels:\n  '*': {{slots: 3}}\n",
        "json": '{{"addr": "127.0.0.1:0", "models_dir": "{dir}", "memory_budget_mb": 250,'
        ' "memory_margin_mb": 50, "default_model": "b.gguf", "models": {{"*": {{"slots": 3}}}}}}',
        "toml": 'addr = "127.0.0.1:0"\nmodels_dir = "{dir}"\nmemory_budget_mb = 250\n'
        'memory_margin_mb = 50\ndefault_model = "b.gguf"\n[models."*"]\nslots = 3\n',
    }
    config = tmp_path / f"config.{suffix}"
    config.write_text(texts[suffix].format(dir=rig_models))
    with serving(None, f"--config={config}") as served:
        assert served.post("/infer", {"prompt": "hi", "stream": False}).status_code == 200
        status = served.status()
        assert (status["budget_mb"], status["margin_mb"]) == (250, 50)
        assert served.instance("b.gguf")["slots"] == 3


def test_a_model_over_the_budget_is_refused_and_nobody_goes(rig_models: Path) -> None:
    options = json.dumps({"b.gguf": {"estimate_mb": 500}})
    with serving(rig_models, "--memory-budget-mb", "150", "--models", options) as served:
        assert served.post("/infer", {"model": "a.gguf", "prompt": "hi"}).status_code == 200
        refused = served.post("/infer", {"model": "b.gguf", "prompt": "hi"})
        assert (refused.status_code, refused.json()["reason"]) == (507, "model_exceeds_budget")
        assert served.instance("a.gguf")["state"] == "ready"
        assert served.status()["evictions_total"] == 0
