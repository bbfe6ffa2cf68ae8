# SPDX-License-Identifier: GPL-3.0-only
import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from modeld.errors import DrainingError, InvalidModelError, ModelNotFoundError
from modeld.serving import registry as registry_module
from modeld.serving.registry import RESCAN_INTERVAL_S, Registry
from tests.serving.fakes import Clock
from tests.serving.sources import Files, Shelf, a_spec


def ids(registry: Registry) -> list[str]:
    return [spec.id for spec in registry.specs()]


def test_all_sources_are_asked_and_models_are_sorted_by_id() -> None:
    async def main() -> None:
        registry = Registry([Shelf(a_spec("b"), name="x"), Shelf(a_spec("a"), name="y")])
        assert ids(registry) == []
        await registry.refresh()
        assert ids(registry) == ["a", "b"]
        assert registry.known("a") == await registry.find("a")

    asyncio.run(main())


def test_an_unknown_model_is_not_found_and_the_nearest_is_named() -> None:
    async def main() -> None:
        registry = Registry([Shelf(a_spec("qwen-7b"))])
        await registry.refresh()
        with pytest.raises(ModelNotFoundError, match=r"'qwen-7'; did you mean 'qwen-7b'\?"):
            await registry.find("qwen-7")
        with pytest.raises(ModelNotFoundError) as caught:
            registry.known("nothing-like-it")
        assert caught.value.field == "model"

    asyncio.run(main())


def test_a_model_with_a_problem_is_listed_and_cannot_be_used() -> None:
    async def main() -> None:
        registry = Registry([Shelf(a_spec("a", problem="the file is empty"))])
        await registry.refresh()
        assert ids(registry) == ["a"]
        with pytest.raises(InvalidModelError, match="'a' cannot be used: the file is empty"):
            await registry.find("a")

    asyncio.run(main())


def test_an_unknown_model_makes_the_sources_be_asked_at_most_once_per_interval() -> None:
    async def main() -> None:
        clock, shelf = Clock(), Shelf()
        registry = Registry([shelf], clock)
        await registry.refresh()

        async def look() -> None:
            with pytest.raises(ModelNotFoundError):
                await registry.find("a")

        for _ in range(5):
            await look()
        assert shelf.asked == 1
        clock.now_s += RESCAN_INTERVAL_S - 0.01
        await look()
        assert shelf.asked == 1
        clock.now_s += 0.01
        await asyncio.gather(*(look() for _ in range(20)))
        assert shelf.asked == 2, "those who ask at once share one scan"
        await look()
        assert shelf.asked == 2

    asyncio.run(main())


def test_a_model_that_has_appeared_is_found_without_a_refresh() -> None:
    async def main() -> None:
        clock, shelf = Clock(), Shelf()
        registry = Registry([shelf], clock)
        await registry.refresh()
        shelf.specs.append(a_spec("new"))
        clock.now_s += RESCAN_INTERVAL_S

        assert (await registry.find("new")).id == "new"

    asyncio.run(main())


def test_a_known_model_costs_no_scan() -> None:
    async def main() -> None:
        clock, shelf = Clock(), Shelf(a_spec("a"))
        registry = Registry([shelf], clock)
        await registry.refresh()
        for _ in range(10):
            clock.now_s += 100
            await registry.find("a")
        assert shelf.asked == 1

    asyncio.run(main())


def test_a_file_changed_in_place_is_seen_at_the_next_request(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "a"
        path.write_bytes(b"one")
        files = Files(tmp_path)
        registry = Registry([files], Clock())
        await registry.refresh()
        old = await registry.find("a")
        assert files.asked == 1

        path.write_bytes(b"three")

        new = await registry.find("a")
        assert (old.size_bytes, new.size_bytes) == (3, 5)
        assert old.stamp != new.stamp
        assert files.asked == 2
        await registry.find("a")
        assert files.asked == 2

    asyncio.run(main())


def test_a_file_replaced_by_rename_is_seen_although_size_and_time_are_the_same(
    tmp_path: Path,
) -> None:
    import os

    async def main() -> None:
        path, other = tmp_path / "a", tmp_path / "b"
        path.write_bytes(b"one")
        other.write_bytes(b"two")
        os.utime(path, ns=(1, 1))
        os.utime(other, ns=(1, 1))
        registry = Registry([Files(tmp_path)], Clock())
        await registry.refresh()
        old = await registry.find("a")

        other.replace(path)

        assert (await registry.find("a")).stamp != old.stamp

    asyncio.run(main())


def test_a_file_that_is_gone_is_not_found(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "a").write_bytes(b"one")
        registry = Registry([Files(tmp_path)], Clock())
        await registry.refresh()
        (tmp_path / "a").unlink()

        with pytest.raises(ModelNotFoundError):
            await registry.find("a")
        assert ids(registry) == []

    asyncio.run(main())


def test_a_source_that_fails_keeps_its_last_list_and_says_what_is_wrong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        good, bad = Shelf(a_spec("a"), name="good"), Shelf(a_spec("b"), name="bad")
        registry = Registry([good, bad])
        await registry.refresh()
        bad.error = OSError("the disk is on fire")
        good.specs.append(a_spec("c"))
        with caplog.at_level(logging.ERROR):
            await registry.refresh()
        assert ids(registry) == ["a", "b", "c"]
        assert registry.errors == {"bad": "bad: the disk is on fire"}
        assert "source bad failed: the disk is on fire" in caplog.text

        bad.error = None
        await registry.refresh()
        assert registry.errors == {}

    asyncio.run(main())


@pytest.mark.parametrize("listed", [None, 7, ["smol.gguf"], [None], [a_spec("a"), "b"]])
def test_a_source_that_lists_something_else_has_failed(listed: Any) -> None:
    async def main() -> None:
        bad, good = Shelf(a_spec("x"), name="bad"), Shelf(a_spec("good"), name="good")
        registry = Registry([bad, good])
        await registry.refresh()
        bad.specs = listed
        await registry.refresh()
        assert ids(registry) == ["good", "x"]
        assert list(registry.errors) == ["bad"]

    asyncio.run(main())


def test_a_source_that_takes_too_long_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "SCAN_LIMIT_S", 0.02)

    async def main() -> None:
        slow, quick = Shelf(name="slow"), Shelf(a_spec("a"), name="quick")
        slow.may_answer.clear()
        registry = Registry([slow, quick])
        await registry.refresh()
        assert ids(registry) == ["a"]
        assert registry.errors == {"slow": "slow: it took longer than 0.02 s"}

    asyncio.run(main())


def test_the_first_of_two_models_with_one_id_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        first = a_spec("a", family="first")
        registry = Registry([Shelf(first, name="x"), Shelf(a_spec("a"), name="y")])
        await registry.refresh()
        assert registry.specs() == (first,)

    asyncio.run(main())
    assert "model a of y is hidden by another" in caplog.text


def test_refreshes_share_the_scan_under_way() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.may_answer.clear()
        registry = Registry([shelf])
        refreshes = [asyncio.create_task(registry.refresh()) for _ in range(5)]
        await asyncio.sleep(0)
        shelf.may_answer.set()
        await asyncio.gather(*refreshes)
        assert shelf.asked == 1

    asyncio.run(main())


def test_who_gives_up_a_refresh_stops_it_for_nobody_else() -> None:
    async def main() -> None:
        shelf = Shelf(a_spec("a"))
        shelf.may_answer.clear()
        registry = Registry([shelf])
        impatient = asyncio.create_task(registry.refresh())
        patient = asyncio.create_task(registry.refresh())
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait([impatient])
        shelf.may_answer.set()
        await patient
        assert impatient.cancelled()
        assert ids(registry) == ["a"]

    asyncio.run(main())


def test_closing_ends_a_scan_under_way() -> None:
    async def main() -> None:
        shelf = Shelf()
        registry = Registry([shelf])
        await registry.aclose()
        shelf.may_answer.clear()
        refresh = asyncio.create_task(registry.refresh())
        await asyncio.sleep(0)
        await registry.aclose()
        await asyncio.wait([refresh])
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_who_waits_for_a_scan_that_is_ended_learns_that_the_server_closes() -> None:
    """Nobody cancelled this task, so it must not look as if somebody had."""

    async def main() -> None:
        shelf = Shelf()
        registry = Registry([shelf], Clock())
        shelf.may_answer.clear()
        find = asyncio.create_task(registry.find("a"))
        await asyncio.sleep(0)
        await registry.aclose()
        with pytest.raises(DrainingError):
            await find

    asyncio.run(main())
