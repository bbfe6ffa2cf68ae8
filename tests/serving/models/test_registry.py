# SPDX-License-Identifier: GPL-3.0-only
import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from modeld import ModelSpec
from modeld.errors import DrainingError, InvalidModelError, LoadFailedError, ModelNotFoundError
from modeld.serving.models import file_stamps
from modeld.serving.models.file_stamps import stamp_of
from modeld.serving.models.registry import RESCAN_INTERVAL_S, Registry
from modeld.values import FileStamp
from tests.support.serving.fakes import Clock
from tests.support.serving.sources import Files, Shelf, a_spec


class Copied(Shelf):
    """Lists what there was when it was asked."""

    async def list_models(self) -> Sequence[ModelSpec]:
        found = self.specs.copy()
        await super().list_models()
        return found


async def until(holds: Callable[[], bool]) -> None:
    """Let the event loop turn until a thread has done its part."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  (threads set no events of this loop)
            await asyncio.sleep(0.001)


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


def test_a_source_that_takes_too_long_is_waited_for_once_and_heard_when_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        slow, quick = Shelf(a_spec("b"), name="slow"), Shelf(a_spec("a"), name="quick")
        slow.may_go_on.clear()
        registry = Registry([slow, quick], timeout_s=0.2)
        await registry.refresh()
        assert ids(registry) == ["a"]
        why = "it has not answered for 0.2 s; its models come when it does"
        assert registry.errors == {"slow": f"slow: {why}"}
        assert f"source slow failed: {why}" in caplog.text

        quick.specs.append(a_spec("c"))
        for _ in range(100):  # more than a second, if each waited for the slow one
            async with asyncio.timeout(10):
                await registry.refresh()
        assert ids(registry) == ["a", "c"]
        assert slow.asked == 1

        slow.may_go_on.set()
        await until(lambda: "b" in ids(registry))
        assert registry.errors == {}
        await registry.refresh()
        assert slow.asked == 2
        await registry.aclose()

    asyncio.run(main())


def test_what_models_can_be_asked_for_is_filled_in_and_a_source_has_no_say_in_it() -> None:
    async def main() -> None:
        said: dict[str, tuple[str, ...]] = {"a": ("chat", "text"), "b": ()}
        shelf = Shelf(
            replace(a_spec("a"), capabilities=("magic",), context=7),
            a_spec("b"),
            replace(a_spec("c", problem="it is empty"), context=7),
        )

        def described(spec: ModelSpec) -> ModelSpec:
            return replace(spec, capabilities=said[spec.id], context=len(said[spec.id]) or None)

        registry = Registry([shelf], described=described)
        await registry.refresh()
        assert [spec.capabilities for spec in registry.specs()] == [("chat", "text"), (), ()]
        assert [spec.context for spec in registry.specs()] == [2, None, None]
        assert (await registry.find("a")).capabilities == ("chat", "text")

        said.clear()  # nobody is asked again about models that are the same
        listed = registry.specs()
        await registry.refresh()
        assert registry.specs() is listed
        await registry.aclose()

    asyncio.run(main())


def test_models_that_came_while_a_backend_hung_are_described_once_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("modeld.serving.models.describing.DESCRIBE_LIMIT_S", 0.05)
    may_say = threading.Event()

    def described(spec: ModelSpec) -> ModelSpec:
        may_say.wait(10)
        return replace(spec, capabilities=("text",))

    async def main() -> None:
        shelf = Shelf(replace(a_spec("a"), capabilities=("chat",)))
        registry = Registry([shelf], described=described)
        await registry.refresh()
        shelf.specs.append(a_spec("b"))
        await registry.refresh()
        said = {spec.capabilities for spec in registry.specs()}
        assert said == {()}, "what a source says there is not used"
        may_say.set()
        await until(lambda: {spec.capabilities for spec in registry.specs()} == {("text",)})
        await registry.aclose()

    asyncio.run(main())


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ([5], "it listed 5, which is no ModelSpec"),
        ([ModelSpec(id="a", name="a", path="/a", size_bytes=1.5)], "Expected `int`, got `float`"),  # type: ignore[arg-type]
        ([ModelSpec(id="a", name=None, path="/a")], "Expected `str`, got `None`"),  # type: ignore[arg-type]
        ([ModelSpec(id="a", name="a", path="/\udce9")], "it listed 'a', where UnicodeEncodeError"),
        (MuteError(), "(which raises RuntimeError when it is written)"),
        (OSError("/\udce9"), r"/\udce9"),
    ],
)
def test_what_a_source_must_not_say_is_its_fault_alone(
    listed: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The log has its traceback, in which half a character stands as it is: no test report may.
    monkeypatch.setattr(logging.getLogger("modeld"), "propagate", False)

    class Wrong(Shelf):
        async def list_models(self) -> Sequence[ModelSpec]:
            if isinstance(listed, Exception):
                raise listed
            return listed  # type: ignore[no-any-return]

    async def main() -> None:
        registry = Registry([Wrong(name="wrong"), Shelf(a_spec("a"), name="good")])
        await registry.refresh()
        assert ids(registry) == ["a"]
        assert why in registry.errors["wrong"]
        registry.errors["wrong"].encode()

    asyncio.run(main())


@pytest.mark.parametrize(
    "kind", [OSError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, BaseException]
)
def test_a_source_may_block_and_raise_what_it_likes(kind: type[BaseException]) -> None:
    class Rude(Shelf):
        async def list_models(self) -> Sequence[ModelSpec]:
            self.may_go_on.wait()
            raise kind("enough")

    async def main() -> None:
        rude, good = Rude(name="rude"), Shelf(a_spec("a"), name="good")
        rude.may_go_on.clear()
        registry = Registry([rude, good])
        refresh = asyncio.create_task(registry.refresh())
        for _ in range(5):
            await asyncio.sleep(0)  # the event loop turns while the source blocks
        rude.may_go_on.set()
        await refresh
        assert ids(registry) == ["a"]
        assert list(registry.errors) == ["rude"]
        assert registry.errors["rude"].endswith(": enough")

    asyncio.run(main())


def test_the_end_waits_for_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        slow = Shelf(name="slow")
        slow.may_go_on.clear()
        registry = Registry([slow])
        refresh = asyncio.create_task(registry.refresh())
        await until(lambda: slow.asked > 0)
        async with asyncio.timeout(10):
            await registry.aclose()
        with pytest.raises(DrainingError):
            await refresh
        slow.may_go_on.set()

    asyncio.run(main())


def test_the_list_is_the_same_object_until_something_has_changed(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "a").write_bytes(b"one")
        registry = Registry([Files(tmp_path)])
        await registry.refresh()
        before = registry.specs()
        await registry.refresh()
        assert registry.specs() is before
        (tmp_path / "b").write_bytes(b"two")
        await registry.refresh()
        assert [spec.id for spec in registry.specs()] == ["a", "b"]

    asyncio.run(main())


class HangingDisk:
    """Stands in front of ``os.stat``: looks at what is below ``folder`` wait until it is free."""

    def __init__(self, folder: Path) -> None:
        self.free = threading.Event()
        self.looks = 0
        self.threads: set[int] = set()
        self._folder = str(folder)

    def stamp_of(self, path: str) -> FileStamp | None:
        self.looks += 1
        self.threads.add(threading.get_ident())
        if path.startswith(self._folder):
            self.free.wait()
        return stamp_of(path)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingDisk]:
    hanging = HangingDisk(tmp_path)
    monkeypatch.setattr(file_stamps, "stamp_of", hanging.stamp_of)
    yield hanging
    hanging.free.set()


def test_a_look_at_a_file_is_taken_beside_the_event_loop(tmp_path: Path, disk: HangingDisk) -> None:
    async def main() -> None:
        (tmp_path / "a").write_bytes(b"one")
        registry = Registry([Files(tmp_path)])
        await registry.refresh()
        finds = [asyncio.create_task(registry.find("a")) for _ in range(50)]
        await until(lambda: disk.looks > 0)  # the event loop turns while the disk is silent
        disk.free.set()
        assert {spec.id for spec in await asyncio.gather(*finds)} == {"a"}
        assert disk.looks <= 2, "who comes before a look has begun shares it"
        assert threading.get_ident() not in disk.threads
        await registry.aclose()

    asyncio.run(main())


def test_a_disk_that_does_not_answer_holds_up_its_models_once_and_no_others(
    tmp_path: Path, disk: HangingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_stamps, "LOOK_LIMIT_S", 0.05)

    async def main() -> None:
        (tmp_path / "a").write_bytes(b"one")
        other = a_spec("b")
        stamp = FileStamp(device=-1, inode=1, size_bytes=1, mtime_ns=1)
        elsewhere = Shelf(replace(other, stamp=stamp, path="/dev/null"))
        registry = Registry([Files(tmp_path), elsewhere])
        await registry.refresh()
        for _ in range(100):
            assert (await registry.find("a")).id == "a"
        assert disk.looks == 1
        assert list(registry.errors.values()) == [f"the disk of {tmp_path}/a does not answer"]
        asked = elsewhere.asked
        await registry.find("b")
        assert elsewhere.asked > asked, "the other disk says that this is another file"

        disk.free.set()
        while registry.errors:
            await registry.find("a")
            await asyncio.sleep(0.001)
        await registry.aclose()

    asyncio.run(main())


def test_a_disk_that_no_model_is_on_any_more_is_no_error(
    tmp_path: Path, disk: HangingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_stamps, "LOOK_LIMIT_S", 0.05)

    async def main() -> None:
        stamp = FileStamp(device=-1, inode=1, size_bytes=1, mtime_ns=1)
        lost = replace(a_spec("lost"), stamp=stamp, path=f"{tmp_path}/lost")
        shelf = Shelf(lost)
        registry = Registry([shelf])
        await registry.refresh()
        await registry.find("lost")
        assert registry.errors
        await registry.refresh()
        assert registry.errors, "it is still there, and still silent"
        shelf.specs = [replace(lost, stamp=replace(stamp, device=-2))]
        await registry.refresh()
        assert registry.errors == {}
        await registry.aclose()

    asyncio.run(main())


def test_a_file_that_changes_while_its_source_is_silent_is_not_used_as_it_was(
    tmp_path: Path,
) -> None:
    class SilentFiles(Files):
        may_go_on = threading.Event()

        async def list_models(self) -> Sequence[ModelSpec]:
            self.may_go_on.wait()
            return await super().list_models()

    async def main() -> None:
        (tmp_path / "a").write_bytes(b"one")
        files = SilentFiles(tmp_path)
        files.may_go_on.set()
        registry = Registry([files], timeout_s=0.05)
        while not registry.specs():
            await registry.refresh()
        files.may_go_on.clear()
        await registry.refresh()
        assert (await registry.find("a")).size_bytes == 3

        (tmp_path / "a").write_bytes(b"three")
        with pytest.raises(LoadFailedError, match="'a' has changed, and its source") as refused:
            await registry.find("a")
        assert refused.value.retry_after_s is not None

        files.may_go_on.set()
        await until(lambda: not registry.errors)
        assert (await registry.find("a")).size_bytes == 5
        await registry.aclose()

    asyncio.run(main())


def test_a_hidden_model_is_named_and_very_many_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def shelf(name: str) -> Shelf:
        return Shelf(*(a_spec(f"{number:04}") for number in range(1000)), name=name)

    registry = Registry([shelf("x"), shelf("y")])
    asyncio.run(registry.refresh())
    assert len(caplog.records) < 20
    assert registry.conflicts()["y"][-1] == "and 990 more names of its models are taken"
    assert "and 990 more names of models are taken" in caplog.text


def test_the_first_of_two_models_with_one_id_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        first = a_spec("a", family="first")
        registry = Registry([Shelf(first, name="x"), Shelf(a_spec("a"), name="y")])
        await registry.refresh()
        assert registry.specs() == (first,)

    asyncio.run(main())
    assert "source y: its model 'a' is hidden by that of source 'x'" in caplog.text


def test_refreshes_share_the_scan_under_way() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.may_go_on.clear()
        registry = Registry([shelf])
        refreshes = [asyncio.create_task(registry.refresh()) for _ in range(5)]
        await asyncio.sleep(0)
        shelf.may_go_on.set()
        await asyncio.gather(*refreshes)
        assert shelf.asked == 1

    asyncio.run(main())


def test_a_refresh_sees_what_came_during_the_scan_under_way() -> None:
    async def main() -> None:
        shelf = Copied(a_spec("a"))
        shelf.may_go_on.clear()
        registry = Registry([shelf])
        first = asyncio.create_task(registry.refresh())
        await until(lambda: shelf.asked == 1)
        shelf.specs.append(a_spec("b"))
        joined = asyncio.create_task(registry.find("a"))
        later = [asyncio.create_task(registry.refresh()) for _ in range(3)]
        await asyncio.sleep(0)
        shelf.may_go_on.set()
        await first
        await joined
        await asyncio.gather(*later)
        assert (ids(registry), shelf.asked) == (["a", "b"], 2)

    asyncio.run(main())


def test_a_refresh_sees_what_came_while_one_source_was_asked() -> None:
    async def main() -> None:
        shelf = Copied()
        shelf.may_go_on.clear()
        registry = Registry([shelf])
        watching = asyncio.create_task(registry.ask({"shelf"}))
        await until(lambda: shelf.asked == 1)
        shelf.specs.append(a_spec("a"))
        refresh = asyncio.create_task(registry.refresh())
        await asyncio.sleep(0)
        shelf.may_go_on.set()
        await asyncio.gather(watching, refresh)
        assert (ids(registry), shelf.asked) == (["a"], 2)

    asyncio.run(main())


def test_one_source_is_asked_anew_and_no_other() -> None:
    async def main() -> None:
        one, other = Shelf(name="one"), Shelf(name="other")
        registry = Registry([one, other])
        await registry.refresh()
        one.specs.append(a_spec("a"))
        await registry.ask({"one"})
        assert (ids(registry), one.asked, other.asked) == (["a"], 2, 1)
        one.may_go_on.clear()
        under_way = asyncio.create_task(registry.ask({"one"}))
        await until(lambda: one.asked == 3)
        anew = asyncio.create_task(registry.ask({"one"}))
        one.may_go_on.set()
        await asyncio.gather(under_way, anew)
        assert one.asked == 4, "what was under way may have passed by the change"

    asyncio.run(main())


def test_who_gives_up_a_refresh_stops_it_for_nobody_else() -> None:
    async def main() -> None:
        shelf = Shelf(a_spec("a"))
        shelf.may_go_on.clear()
        registry = Registry([shelf])
        impatient = asyncio.create_task(registry.refresh())
        patient = asyncio.create_task(registry.refresh())
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait([impatient])
        shelf.may_go_on.set()
        await patient
        assert impatient.cancelled()
        assert ids(registry) == ["a"]

    asyncio.run(main())


def test_closing_ends_a_scan_under_way() -> None:
    async def main() -> None:
        shelf = Shelf()
        registry = Registry([shelf])
        await registry.aclose()
        shelf.may_go_on.clear()
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
        shelf.may_go_on.clear()
        find = asyncio.create_task(registry.find("a"))
        await asyncio.sleep(0)
        await registry.aclose()
        with pytest.raises(DrainingError):
            await find

    asyncio.run(main())
