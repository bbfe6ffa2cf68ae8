# SPDX-License-Identifier: GPL-3.0-only
"""Every example of the API page is run: a command, then status and media type, then the response.

The server's models are the rig's, under the names that the page uses. So the texts differ from the
page's, which were made by real models; status, media type and the shape of each response must not.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.docs.pages import read
from tests.support.gguf.real_models import GEMMA3, SMOLLM2
from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.http.served import Served, serving

RERANKER = "bge-reranker-v2-m3-q4_k_m.gguf"
BASE = "http://127.0.0.1:8080"
EXAMPLE = re.compile(
    r"^```sh\n(?P<command>curl .*?)^```\n\n`(?P<status>\d+)`, `(?P<media_type>[^`]+)`"
    r"(?:\.|:\n\n```(?P<language>\w+)\n(?P<body>.*?)^```$)",
    re.MULTILINE | re.DOTALL,
)


class Example(NamedTuple):
    """A command of the page and what it says about its response; ``body`` may be left out."""

    command: str
    status: int
    media_type: str
    language: str | None
    body: str

    @property
    def path(self) -> str:
        """What is asked for, without the server."""
        return self.command.partition(BASE)[2].split()[0]


def examples() -> list[Example]:
    return [
        Example(
            match["command"],
            int(match["status"]),
            match["media_type"],
            match["language"],
            match["body"] or "",
        )
        for match in EXAMPLE.finditer(read("reference/api.md"))
    ]


def request(command: str, url: str) -> httpx.Response:
    """Return what curl would send, with the options that the page uses."""
    words = iter(shlex.split(command.replace("\\\n", "")))
    method, target, body, headers = "GET", "", None, {}
    assert next(words) == "curl"
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                method, body = "POST", next(words)
            case "-s" | "-N":
                pass
            case _:
                assert word.startswith(BASE), f"{command}: {word}"
                target = url + word.removeprefix(BASE)
    return httpx.request(method, target, headers=headers, content=body, timeout=30)


def shape(value: Any) -> Any:
    """Return the names and types of a JSON value; of a list the different shapes in it."""
    match value:
        case dict():
            return {name: shape(member) for name, member in value.items()}
        case list():
            shapes: list[Any] = []
            for each in map(shape, value):
                if each not in shapes:
                    shapes.append(each)
            return shapes
        case bool() | str() | None:
            return type(value).__name__
        case _:
            return "number"


def parsed(language: str | None, text: str) -> Any:
    """Return what a response says, as far as it is the same for every model."""
    match language:
        case "json":
            return shape(json.loads(text))
        case "jsonl":
            return shape([json.loads(line) for line in text.splitlines()])
        case "text" if text.startswith("data: "):
            events = [event for event in text.split("\n\n") if event.strip()]
            return shape([json.loads(event.removeprefix("data: ")) for event in events])
        case "text" if text.startswith("# HELP "):
            return text.splitlines()[0]
        case _:
            return text.strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield a server on which the first model is loaded, as the page's was."""
    folder: Path = tmp_path_factory.mktemp("models")
    for name in (SMOLLM2, GEMMA3, RERANKER):
        write_gguf(folder / name, "rig")
    (folder / "broken.gguf").write_bytes(b"GGML")
    with serving(folder, "--default-model", SMOLLM2, "--memory-budget-mb", "600") as served:
        assert served.post("/infer", {"prompt": "hello"}).status_code == 200
        yield served


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.path)
def test_an_example_is_answered_as_the_page_says(example: Example, server: Served) -> None:
    response = request(example.command, server.url)
    assert response.status_code == example.status, response.text
    assert response.headers["content-type"].partition(";")[0] == example.media_type
    if example.language is None:
        return
    said, real = (parsed(example.language, text) for text in (example.body, response.text))
    assert contained(said, real), response.text


def contained(said: Any, real: Any) -> bool:
    """Return whether everything that the page shows is there; lists may have more than it shows."""
    match said, real:
        case dict(), dict():
            return said.keys() == real.keys() and all(
                contained(said[name], real[name]) for name in said
            )
        case list(), list():
            return all(any(contained(each, other) for other in real) for each in said)
        case _:
            return bool(said == real)


def test_every_curl_command_of_the_page_is_an_example() -> None:
    assert (
        len(examples()) == len(re.findall(r"^curl ", read("reference/api.md"), re.MULTILINE)) > 12
    )
