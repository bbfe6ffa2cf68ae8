# SPDX-License-Identifier: GPL-3.0-only
"""The OpenAPI document against a running server: what it allows, what it forbids, what it promises.

Schemathesis makes requests from docs/reference/openapi.json, valid ones and broken ones, and holds
each response to the document. MODELD_SCHEMATHESIS_EXAMPLES says how many it makes for an operation,
beside the fixed ones at the edges of what is allowed.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis import Case, CheckContext, DeserializationContext, HookContext, Response
from schemathesis.config import SchemathesisConfig

from tests.openapi_document import FILE, document
from tests.support.http.served import Served, serving

EXAMPLES = int(os.environ.get("MODELD_SCHEMATHESIS_EXAMPLES", "8"))
GUARDED_EXAMPLES = max(2, EXAMPLES // 4)
KEY = "a-key-of-some-length"
DIALECTS = ("anthropic", "ollama", "openai")
MODELS = ["a.gguf", "b.gguf", "broken.gguf", "none.gguf"]
DOCUMENTS = {"/openapi.json", "/swagger/doc.json"}
STREAMS = {"application/x-ndjson", "text/event-stream"}
LAST_TOKEN = 256  # of the rig
REJECTED = [str(each) for each in (400, 401, 403, 404, 405, 406, 413, 415, 422, 429)]
FORMS = (
    "*/*",
    "application/x-ndjson",
    "text/event-stream",
    "application/json",
    "application/openmetrics-text, */*;q=0.1",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 10 * EXAMPLES)]


def lines_of(response: Response) -> list[Any]:
    """Return the objects of a stream."""
    text = response.content.decode()
    if response.headers["content-type"][0].startswith("text/event-stream"):
        events = text.removesuffix("\n\n").split("\n\n")
        assert all(event.startswith("data: ") and "\n" not in event for event in events), text
        return [json.loads(event.removeprefix("data: ")) for event in events]
    assert text.endswith("\n"), text
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


@schemathesis.deserializer("application/x-ndjson")
def read_lines(_context: DeserializationContext, response: Response) -> Any:
    return lines_of(response)


@schemathesis.check
def a_stream_ends_once(_context: CheckContext, response: Response, case: Case) -> None:
    """Only the last object of a stream says that it is done, or what went wrong."""
    media_type = response.headers.get("content-type", [""])[0].partition(";")[0]
    if case.path == "/infer" and media_type in STREAMS and response.content:
        *tokens, last = lines_of(response)
        assert all("token" in line or "reasoning" in line for line in tokens), tokens
        assert last.get("done") is True or last["code"] >= 400, last


@schemathesis.check
def nothing_fails_inside(_context: CheckContext, response: Response, case: Case) -> None:
    """No fault of the server's own, also where a dialect has 500 for what the document names."""
    if case.path in DOCUMENTS:  # they list what may go wrong
        return
    assert b"internal_error" not in response.content, response.content


def narrowed(described: dict[str, Any]) -> dict[str, Any]:
    """The document with the server's models for names, and with nothing allowed that is not said.

    A random name would be refused before anything of the request is looked at. Responses may get
    new members without breaking a client; here each member has to be in the document. The schema of
    a stream is that of one line, and Schemathesis checks a body as a whole.
    """
    described = copy.deepcopy(described)
    schemas = described["components"]["schemas"]
    infer = schemas["InferBody"]  # what other backends declare is refused for the rig's models
    infer["properties"] = {
        name: field
        for name, field in infer["properties"].items()
        if "rig" in field.get("x-modeld-backends", ("rig",))
    }
    for name, schema in schemas.items():
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        if name.endswith("Body") and "model" in schema["properties"]:
            schema["properties"]["model"] = {"enum": [*MODELS, None]}
    schemas["DetokenizeBody"]["properties"]["tokens"]["items"]["maximum"] = LAST_TOKEN
    for item in described["paths"].values():
        for row in (row for row in item.values() if isinstance(row, dict)):
            for parameter in row["parameters"]:
                if parameter.get("name") == "id":
                    parameter["schema"] = {"enum": MODELS}
                    parameter["example"] = MODELS[0]
            for content in (response.get("content", {}) for response in row["responses"].values()):
                for media_type in STREAMS & set(content):
                    content[media_type]["schema"] = as_whole(media_type, content[media_type])
    return described


def as_whole(media_type: str, content: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a whole stream, as Schemathesis reads it."""
    if media_type == "application/x-ndjson":
        return {"type": "array", "items": content["schema"], "minItems": 1}
    data = {"contentMediaType": "application/json", "contentSchema": content["schema"]}
    said = {"type": "string", "anyOf": [{"const": "[DONE]"}, data]}
    return {"type": "object", "properties": {"data": said}}


def configuration(
    examples: int, *, agrees: bool = True, faults: tuple[str, ...] = (), **more: Any
) -> SchemathesisConfig:
    """Return how to try: ``agrees`` says that what a schema allows is taken."""
    return SchemathesisConfig.from_dict(
        {
            **more,
            "seed": 1,
            "output": {"sanitization": {"enabled": False}},
            "generation": {"mode": "all", "max-examples": examples, "deterministic": True},
            "checks": {
                # What the document says about 503, 504 and 507 is a response; 500 never is.
                "not_a_server_error": {
                    "expected-statuses": ["2xx", "3xx", "4xx", "503", "504", "507", *faults]
                },
                # 404 and 422: not every model is there or sound; 406: not every form is.
                # What has too many items may be too large before it is looked at.
                "negative_data_rejection": {"expected-statuses": [*REJECTED, "5xx"]},
                "positive_data_acceptance": {
                    "enabled": agrees,
                    "expected-statuses": ["2xx", "3xx", "404", "406", "422", "503", "504", "507"],
                },
            },
        }
    )


def whole(value: Any) -> Any:
    """Whole numbers written as such: to JSON Schema 5.0 is an integer too, to the server it is not.

    And none of more than 64 bits. No schema can say that; docs/reference/openapi.md does.
    """
    match value:
        case dict():
            return {name: whole(member) for name, member in value.items()}
        case list():
            return [whole(member) for member in value]
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case int() if abs(value) >= 2**63:
            return 2**62
        case _:
            return value


def is_plan(body: Any) -> bool:
    """Return whether a text of the body is one that the rig takes for its orders."""
    match body:
        case dict() | list():
            return any(map(is_plan, body.values() if isinstance(body, dict) else body))
        case _:
            return isinstance(body, str) and body.startswith("{")


def is_at_odds(body: Any) -> bool:
    """Return whether members of a body contradict each other in a way that no schema can say."""
    if not isinstance(body, dict):
        return False
    tools = body.get("tools") if isinstance(body.get("tools"), list) else []
    names = [tool.get("name") for tool in tools if isinstance(tool, dict)]
    choice = body.get("tool_choice")
    mode = choice.get("mode") if isinstance(choice, dict) else choice
    called = (choice.get("names") if isinstance(choice, dict) else None) or []
    messages = body.get("messages") if isinstance(body.get("messages"), list) else []
    last = messages[-1] if messages and isinstance(messages[-1], dict) else {}
    return any(
        (
            len(set(map(str, names))) < len(names),
            mode == "required" and not names,
            isinstance(called, list) and any(name not in names for name in called),
            body.get("continue_last") and last.get("role") != "assistant",
            (body.get("prompt") or body.get("prompt_tokens"))
            and (tools or body.get("template_kwargs") or thinks(body)),
        )
    )


def thinks(body: dict[str, Any]) -> bool:
    """Return whether a body asks for more than that a model does not think."""
    said = body.get("reasoning")
    if not isinstance(said, dict):
        return said is True
    return any(said.get(name) not in (None, False) for name in ("enabled", "effort")) or (
        said.get("budget_tokens") is not None
    )


def filter_body(context: HookContext, body: Any) -> bool:
    return not is_plan(body) and not is_at_odds(body)


def map_body(context: HookContext, body: Any) -> Any:
    return whole(body)


def accepted(case: Case) -> str:
    """Yield one form of a response after the other; now and then one that there is not.

    What an operation accepts is no parameter in OpenAPI, so Schemathesis does not vary it.
    """
    length = len(repr(case.body)) + len(repr(case.query))
    return "image/png" if length % 16 == 0 else FORMS[length % len(FORMS)]


def loaded(described: dict[str, Any], config: SchemathesisConfig) -> Any:
    schema = schemathesis.openapi.from_dict(narrowed(described), config=config)
    for hook in (filter_body, map_body):
        schema.hook(hook)
    return schema


schema = loaded(json.loads(FILE.read_text(encoding="utf-8")), configuration(EXAMPLES))
# The edges of all fields are tried without keys, which make no difference to them.
guarded = loaded(
    document(keys=KEY),
    configuration(
        GUARDED_EXAMPLES,
        auth={"openapi": {"bearer": {"bearer": KEY}}},
        phases={"coverage": {"enabled": False}},
    ),
)


# Bodies of other wires contradict themselves in more ways than their schemas can say. What is there
# as 500 or 529 is Anthropic's.
dialects = loaded(
    document(more=DIALECTS), configuration(GUARDED_EXAMPLES, agrees=False, faults=("500", "529"))
).include(path_regex=r"^/((v1|api)/.*)?$")


@pytest.fixture(scope="module")
def server(rig_models: Path) -> Iterator[Served]:
    with serving(rig_models, "--default-model", "a.gguf") as served:
        yield served
        log = served.log()
        assert "Traceback" not in log, log[log.index("Traceback") :][:4000]


@schema.parametrize()
def test_the_server_does_what_the_document_says(case: Case, server: Served) -> None:
    if is_at_odds(case.body):  # what is made at the edges of a schema passes no filter
        return
    case.call_and_validate(base_url=server.url, headers={"Accept": accepted(case)})


def test_all_routes_of_the_dialects_are_tried() -> None:
    tried = {each.ok().label for each in dialects.get_all_operations()}
    assert {
        "GET /",
        "GET /v1/models",
        "POST /api/chat",
        "POST /v1/chat/completions",
        "POST /v1/messages",
        "POST /v1/responses",
    } <= tried


@dialects.parametrize()
def test_the_dialects_do_what_the_document_says(case: Case, server: Served) -> None:
    case.call_and_validate(base_url=server.url, headers={"Accept": accepted(case)})


@pytest.fixture(scope="module")
def guarded_server(rig_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    arguments = ("--default-model", "a.gguf", "--api-key-file", str(keys))
    with serving(rig_models, *arguments) as served:
        yield served


@guarded.parametrize()
def test_a_server_with_keys_answers_nobody_without_one(case: Case, guarded_server: Served) -> None:
    if is_at_odds(case.body):  # what is made at the edges of a schema passes no filter
        return
    case.call_and_validate(base_url=guarded_server.url, headers={"Accept": accepted(case)})
