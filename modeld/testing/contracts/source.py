# SPDX-License-Identifier: GPL-3.0-only
"""What a source of models keeps to."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from modeld import ModelSpec, RegistrySource
from modeld.testing.contract import Contract, DisclaimedError, UntestedError, assert_that, check
from modeld.testing.contracts.naming import check_name
from modeld.testing.leftovers import nothing_left
from modeld.values import FileStamp

LONGEST_ID: Final = 512
LISTS: Final = "test_it_lists_models"


class SourceContract(Contract):
    """What every source keeps to.

    ``source`` finds one model or more. ``lost`` is a source of the same kind that cannot
    look: its folder is not there, say.
    """

    subjects: ClassVar[tuple[str, ...]] = ("source", "lost")

    source: RegistrySource
    lost: RegistrySource | None = None

    async def specs(self) -> Sequence[ModelSpec]:
        """Return the models that the source has now."""
        return await self.source.list_models()

    @check()
    def test_it_has_a_name(self) -> None:
        """It is named, with a text that can be a label."""
        check_name("the source", self.source)

    @check()
    async def test_it_lists_models(self) -> None:
        """There is at least one, and each is a ``ModelSpec`` whose members have their types."""
        specs: object = await self.specs()
        assert_that(
            isinstance(specs, Sequence) and not isinstance(specs, str),
            f"list_models returned {specs!r:.200}; return a list of modeld.ModelSpec",
        )
        assert isinstance(specs, Sequence)
        if not specs:
            raise UntestedError("the source has no models; give the contract one that has some")
        for spec in specs:
            assert_that(isinstance(spec, ModelSpec), f"{spec!r:.200} is no modeld.ModelSpec")
            try:
                msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=ModelSpec)
            except (msgspec.ValidationError, TypeError, UnicodeEncodeError) as exc:
                raise AssertionError(
                    f"the model {spec.id!r} has a wrong member: {exc}; a wrong list is not used"
                ) from exc

    @check(LISTS)
    async def test_ids_are_unique(self) -> None:
        """No two models have one id."""
        counts = Counter(spec.id for spec in await self.specs())
        twice = [each for each, count in counts.items() if count > 1]
        assert_that(not twice, f"two models have the id {twice}; tell them apart, by a folder say")

    @check(LISTS)
    async def test_ids_can_be_written(self) -> None:
        """An id is a text that people can type and addresses can hold."""
        for spec in await self.specs():
            is_sound = (
                spec.id
                and spec.id == spec.id.strip()
                and spec.id.isprintable()
                and len(spec.id) <= LONGEST_ID
            )
            assert_that(
                is_sound,
                f"the id {spec.id!r:.100} cannot be named in a request; take a printable text of at"
                f" most {LONGEST_ID} characters without spaces around it",
            )

    @check(LISTS)
    async def test_sizes_are_not_negative(self) -> None:
        """Bytes and tokens are counted from 0."""
        for spec in await self.specs():
            least = min(spec.size_bytes, spec.weights_bytes, spec.context_length or 0)
            assert_that(least >= 0, f"the model {spec.id!r} has a size below 0")

    @check(LISTS)
    async def test_problems_say_something(self) -> None:
        """A model that cannot be used has a reason, and one that can has none."""
        for spec in await self.specs():
            assert_that(
                spec.problem is None or spec.problem.strip(),
                f"the model {spec.id!r} has an empty problem; say what is wrong, or None",
            )

    @check(LISTS)
    async def test_stamps_are_those_of_the_files(self) -> None:
        """A stamp is what ``os.stat`` says, or the model would be loaded again and again."""
        stamped = [spec for spec in await self.specs() if spec.stamp is not None]
        if not stamped:
            raise DisclaimedError("no model has a stamp, so no file is watched")
        for spec in stamped:
            due = _stamp_of(Path(spec.path))
            assert_that(due, f"{spec.id!r} has a stamp, and its file is not there: {spec.path}")
            assert_that(
                spec.stamp == due,
                f"{spec.id!r} has the stamp {spec.stamp!r}, and its file is {due!r}; stat the file"
                " at `path`",
            )

    @check(LISTS)
    async def test_the_list_is_the_same_each_time(self) -> None:
        """Where nothing has changed, the models keep their ids and their order."""
        one = [spec.id for spec in await self.specs()]
        other = [spec.id for spec in await self.specs()]
        assert_that(one == other, f"the ids were {one[:5]} and then {other[:5]}; sort them")

    @check(LISTS)
    def test_each_call_has_a_loop_of_its_own(self) -> None:
        """Nothing of one event loop or thread is kept for the next call."""
        raised: list[BaseException] = []

        def call() -> None:
            try:
                asyncio.run(_done(self.source))
            except BaseException as exc:  # noqa: BLE001  (whatever a source makes of it)
                raised.append(exc)

        for _ in range(2):
            thread = threading.Thread(target=call, name="modeld-source")
            thread.start()
            thread.join()
        assert_that(
            not raised,
            f"on a loop of its own list_models raised {raised[:1]!r}; make locks, clients and tasks"
            " anew in each call",
        )

    @check(LISTS)
    async def test_nothing_is_left_of_a_call(self) -> None:
        """No thread, no process and no descriptor stays."""
        await self.specs()
        async with nothing_left("list_models"):
            for _ in range(3):
                await self.specs()

    @check(LISTS)
    async def test_watched_paths_are_there(self) -> None:
        """What is to be watched is named by absolute paths, and some of it is there."""
        await self.specs()
        paths = self.source.watched_paths()
        if not paths:
            raise DisclaimedError("it names no path, so nothing of it is watched")
        relative = [path for path in paths if not path.startswith(os.sep)]
        assert_that(not relative, f"{relative[:1]!r} is watched, which is no absolute path")
        assert_that(any(map(os.path.exists, paths)), "nothing that is watched is there")

    @check()
    async def test_what_cannot_be_read_is_an_error_and_no_empty_list(self) -> None:
        """Whoever cannot look says so, and the models that were there before stay listed."""
        if self.lost is None:
            raise UntestedError("give the contract a source that cannot be read, as `lost`")
        try:
            specs = await self.lost.list_models()
        except Exception as exc:  # noqa: BLE001  (any exception keeps the last good list)
            assert_that(str(exc), "its error says nothing; say what is missing")
            return
        raise AssertionError(
            f"a source that cannot be read returned {len(specs)} models; raise an error, or"
            " all models vanish when a disk is away for a moment"
        )


async def _done(source: RegistrySource) -> None:
    await source.list_models()


def _stamp_of(path: Path) -> FileStamp | None:
    if not path.exists():
        return None
    found = path.stat()
    return FileStamp(
        device=found.st_dev,
        inode=found.st_ino,
        size_bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
    )
