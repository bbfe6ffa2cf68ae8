# SPDX-License-Identifier: GPL-3.0-only
import asyncio
import threading

import pytest
from msgspec.structs import replace

from modeld import ModelSpec
from modeld.serving.models.describing import Describer
from modeld.serving.models.model_index import ModelIndex
from tests.support.serving.sources import a_spec


def index_of(*models: str) -> ModelIndex:
    return ModelIndex({"shelf": [a_spec(model) for model in models]})


def capabilities(index: ModelIndex) -> set[tuple[str, ...]]:
    return {spec.capabilities for spec in index.specs}


def test_what_a_backend_says_is_filled_in() -> None:
    async def main() -> None:
        describer = Describer(lambda spec: replace(spec, capabilities=("text",)), late.append)
        index = index_of("a", "b")
        await describer.describe(index)
        assert capabilities(index) == {("text",)}

    late: list[ModelIndex] = []
    asyncio.run(main())
    assert late == []


def test_only_models_that_are_others_and_those_without_a_word_are_asked_about() -> None:
    asked: list[str] = []

    def described(spec: ModelSpec) -> ModelSpec:
        asked.append(spec.id)
        return spec if spec.id == "mute" else replace(spec, capabilities=("text",))

    async def main() -> None:
        describer = Describer(described, lambda _index: None)
        await describer.describe(index_of("a", "b", "mute"))
        asked.clear()
        changed = ModelIndex(
            {"shelf": [a_spec("a"), a_spec("b", size_bytes=5), a_spec("c"), a_spec("mute")]}
        )
        await describer.describe(changed)
        assert asked == ["b", "c", "mute"]
        assert [spec.size_bytes for spec in changed.specs] == [0, 5, 0, 0]
        assert [spec.capabilities for spec in changed.specs] == [("text",)] * 3 + [()]

    asyncio.run(main())


def test_while_one_hangs_the_others_are_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeld.serving.models.describing.DESCRIBE_LIMIT_S", 0.01)
    may_end = threading.Event()

    def described(spec: ModelSpec) -> ModelSpec:
        if spec.id == "hangs":
            may_end.wait()
        return replace(spec, capabilities=("text",))

    async def main() -> None:
        describer = Describer(described, lambda _index: None)
        await describer.describe(index_of("a", "b"))
        await describer.describe(index_of("a", "hangs"))
        later = index_of("a", "c")
        await describer.describe(later)
        assert {spec.id: spec.capabilities for spec in later.specs} == {"a": ("text",), "c": ()}
        may_end.set()

    asyncio.run(main())


def test_what_a_backend_raises_reaches_who_waits() -> None:
    def fails(_spec: ModelSpec) -> ModelSpec:
        raise ValueError("no words")

    describer = Describer(fails, lambda _index: None)
    with pytest.raises(ValueError, match="no words"):
        asyncio.run(describer.describe(index_of("a")))


def test_a_backend_that_hangs_is_waited_for_once_and_told_of_when_it_answers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("modeld.serving.models.describing.DESCRIBE_LIMIT_S", 0.05)
    may_say, asked = threading.Event(), []

    def described(spec: ModelSpec) -> ModelSpec:
        asked.append(spec.id)
        may_say.wait(10)
        return replace(spec, capabilities=("text",))

    async def main() -> None:
        late: asyncio.Queue[ModelIndex] = asyncio.Queue()
        describer = Describer(described, late.put_nowait)
        first, second, third = index_of("a"), index_of("a", "b"), index_of("c")
        await describer.describe(first)
        assert "one hangs" in caplog.text
        await describer.describe(second)
        assert (asked, capabilities(second)) == (["a"], {()}), "it takes one thread only"

        may_say.set()
        assert await asyncio.wait_for(late.get(), 10) is first
        assert capabilities(first) == {("text",)}
        await describer.describe(third)
        assert capabilities(third) == {("text",)}

    asyncio.run(main())
