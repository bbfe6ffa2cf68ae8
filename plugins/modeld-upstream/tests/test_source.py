# SPDX-License-Identifier: GPL-3.0-only
"""Which models servers have, whether or not they can be reached."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from modeld_upstream.connection.errors import UpstreamError
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.source import UpstreamModels
from modeld_upstream.specs import model_of, server_of
from scripted_server import hello, scripted

from modeld import ModelSpec

NOBODY = "http://127.0.0.1:9/v1"
COMMAND = "serve {model} --port {port}"


def listed(*servers: UpstreamServer) -> dict[str, ModelSpec]:
    return {spec.id: spec for spec in asyncio.run(UpstreamModels(servers).list_models())}  # type: ignore[arg-type]


def test_models_that_are_named_need_no_server() -> None:
    found = listed(UpstreamServer(name="a", url=NOBODY, models=("x/y", "z"), prefix="far/"))
    assert list(found) == ["far/x/y", "far/z"]
    assert (server_of(found["far/z"]), model_of(found["far/z"])) == ("a", "z")


def test_a_server_lists_its_models_and_is_listed_as_it_was_when_it_is_gone() -> None:
    async def main() -> None:
        async with scripted(hello) as server:
            there = UpstreamServer(name="a", url=server.url, kind="vllm")
            source = UpstreamModels([there])
            (first,) = await source.list_models()
        assert (first.id, first.format, first.context_length) == (
            "some-model",
            "upstream-vllm",
            512,
        )
        assert await source.list_models() == [first]

    asyncio.run(main())


def test_patterns_choose_among_what_the_server_lists() -> None:
    async def main() -> None:
        async with scripted(hello) as server:
            some = UpstreamServer(name="a", url=server.url, models=("some-*", "named"))
            none = UpstreamServer(name="b", url=server.url, models=("other-*",))
            specs = await UpstreamModels([some, none]).list_models()
            assert [spec.id for spec in specs] == ["named", "some-model"]

    asyncio.run(main())


def test_a_server_that_is_down_hides_no_other() -> None:
    down = UpstreamServer(name="a", url=NOBODY)
    assert list(listed(down, UpstreamServer(name="b", url=NOBODY, models=("m",)))) == ["m"]
    with pytest.raises(UpstreamError, match="cannot be reached"):
        listed(down)


def test_files_are_models_and_split_ones_are_one(tmp_path: Path) -> None:
    for name in ("one.gguf", "two-00001-of-00002.gguf", "two-00002-of-00002.gguf"):
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "gone.gguf").symlink_to(tmp_path / "nowhere")
    server = UpstreamServer(name="a", command=COMMAND, files=(f"{tmp_path}/*.gguf",))
    found = listed(server)
    assert list(found) == ["gone.gguf", "one.gguf", "two-00001-of-00002.gguf"]
    assert found["one.gguf"].size_bytes == 5
    assert found["two-00001-of-00002.gguf"].size_bytes == 10
    assert found["one.gguf"].stamp is not None
    assert model_of(found["one.gguf"]) == str(tmp_path / "one.gguf")
    assert "cannot be read" in (found["gone.gguf"].problem or "")


def test_of_two_models_with_one_id_the_first_counts() -> None:
    first = UpstreamServer(name="a", url=NOBODY, models=("m",))
    second = UpstreamServer(name="b", url=NOBODY, models=("m",))
    assert server_of(listed(first, second)["m"]) == "a"
