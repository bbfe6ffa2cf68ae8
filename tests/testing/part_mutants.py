# SPDX-License-Identifier: GPL-3.0-only
"""Sources, policies, formatters and observers that are each wrong in one way."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from modeld import Candidate, Chunk, Done, ModelSpec, Observer, RegistrySource, Token
from modeld.builtin.lru import LeastRecentlyUsed
from modeld.builtin.ndjson import Ndjson
from modeld.errors import ModeldError
from modeld.events import Event
from modeld.testing import (
    Contract,
    EvictionPolicyContract,
    FormatterContract,
    ObserverContract,
    SourceContract,
)
from modeld.values import FileStamp

MUTANTS: list[tuple[str, Callable[[Path], Contract], str]] = []
"""The name of each, what makes its contract, and the one check that must find it."""


class Folder(RegistrySource):
    """Lists the files of a folder."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def list_models(self) -> Sequence[ModelSpec]:
        return [self.spec(path) for path in sorted(self.folder.iterdir())]

    def watched_paths(self) -> Sequence[str]:
        return [str(self.folder)]

    def spec(self, path: Path) -> ModelSpec:
        stat = path.stat()
        stamp = FileStamp(
            device=stat.st_dev,
            inode=stat.st_ino,
            size_bytes=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
        )
        return ModelSpec(
            id=path.name, name=path.stem, path=str(path), size_bytes=stat.st_size, stamp=stamp
        )


class Counting(Observer):
    """Counts what happens, by kind."""

    name = "counting"

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def notify(self, event: Event) -> None:
        kind = type(event).__name__
        self.counts[kind] = self.counts.get(kind, 0) + 1


def of_source(kind: type[Folder]) -> Callable[[Path], Contract]:
    def make(folder: Path) -> Contract:
        for name in ("a.toy", "b.toy"):
            (folder / name).write_bytes(b"toy")
        contract = SourceContract()
        contract.source, contract.lost = kind(folder), kind(folder / "nothing")
        return contract

    return make


def of_policy(kind: type[LeastRecentlyUsed]) -> Callable[[Path], Contract]:
    def make(_folder: Path) -> Contract:
        contract = EvictionPolicyContract()
        contract.policy = kind()
        contract.quick_s = 0.2
        return contract

    return make


def of_formatter(kind: type[Ndjson]) -> Callable[[Path], Contract]:
    def make(_folder: Path) -> Contract:
        contract = FormatterContract()
        contract.formatter = kind()
        return contract

    return make


def of_observer(kind: type[Counting]) -> Callable[[Path], Contract]:
    def make(_folder: Path) -> Contract:
        contract = ObserverContract()
        contract.observer = kind()
        return contract

    return make


RIGHT = {
    "source": of_source(Folder),
    "policy": of_policy(LeastRecentlyUsed),
    "formatter": of_formatter(Ndjson),
    "observer": of_observer(Counting),
}


def fails(check: str) -> Callable[[type], type]:
    """Note which check must find the mutant, and only that."""

    def note(mutant: Any) -> type:
        makers: dict[type, Callable[[Any], Callable[[Path], Contract]]] = {
            Folder: of_source,
            LeastRecentlyUsed: of_policy,
            Ndjson: of_formatter,
            Counting: of_observer,
        }
        (make,) = [make for base, make in makers.items() if issubclass(mutant, base)]
        MUTANTS.append((mutant.__name__, make(mutant), check))
        return mutant  # type: ignore[no-any-return]

    return note


# Sources.


@fails("test_it_has_a_name")
class Anonymous(Folder):
    name = ""


@fails("test_it_lists_models")
class ListsPaths(Folder):
    async def list_models(self) -> Sequence[ModelSpec]:
        return [str(each) for each in self.folder.iterdir()]  # type: ignore[misc]  # the fault


@fails("test_it_lists_models")
class SizesAsText(Folder):
    def spec(self, path: Path) -> ModelSpec:
        return replace(super().spec(path), weights_bytes="3 MB")


@fails("test_ids_are_unique")
class AllAlike(Folder):
    def spec(self, path: Path) -> ModelSpec:
        return replace(super().spec(path), id="model")


@fails("test_ids_can_be_written")
class WithSpaces(Folder):
    def spec(self, path: Path) -> ModelSpec:
        return replace(super().spec(path), id=f"{path.name}\n")


@fails("test_sizes_are_not_negative")
class UnknownIsMinusOne(Folder):
    def spec(self, path: Path) -> ModelSpec:
        return replace(super().spec(path), size_bytes=-1)


@fails("test_problems_say_something")
class HasAProblem(Folder):
    def spec(self, path: Path) -> ModelSpec:
        return replace(super().spec(path), problem="")


@fails("test_stamps_are_those_of_the_files")
class StampsWithNow(Folder):
    def spec(self, path: Path) -> ModelSpec:
        spec = super().spec(path)
        assert spec.stamp is not None
        return replace(spec, stamp=replace(spec.stamp, mtime_ns=time.time_ns()))


@fails("test_the_list_is_the_same_each_time")
class Shuffles(Folder):
    is_turned = False

    async def list_models(self) -> Sequence[ModelSpec]:
        self.is_turned = not self.is_turned
        found = await super().list_models()
        return found[::-1] if self.is_turned else found


@fails("test_each_call_has_a_loop_of_its_own")
class KeepsItsLoop(Folder):
    queue: asyncio.Queue[int] | None = None

    async def list_models(self) -> Sequence[ModelSpec]:
        if self.queue is None:
            self.queue = asyncio.Queue()
        if threading.current_thread().name == "modeld-source":
            waiting = asyncio.ensure_future(self.queue.get())
            await asyncio.sleep(0)
            self.queue.put_nowait(1)
            await waiting
        return await super().list_models()


@fails("test_watched_paths_are_there")
class WatchesByName(Folder):
    def watched_paths(self) -> Sequence[str]:
        return [self.folder.name]


@fails("test_nothing_is_left_of_a_call")
class LeavesFilesOpen(Folder):
    kept: list[Any] = []

    async def list_models(self) -> Sequence[ModelSpec]:
        self.kept += [path.open("rb") for path in self.folder.iterdir()]
        return await super().list_models()


@fails("test_what_cannot_be_read_is_an_error_and_no_empty_list")
class TakesItForEmpty(Folder):
    async def list_models(self) -> Sequence[ModelSpec]:
        return await super().list_models() if self.folder.exists() else []


# Policies.


@fails("test_victims_are_candidates")
class ByName(LeastRecentlyUsed):
    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        return [each.model for each in super().choose(candidates, needed_bytes)]  # type: ignore[misc]  # the fault


@fails("test_victims_are_enough_or_none")
class TooFew(LeastRecentlyUsed):
    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        return super().choose(candidates, needed_bytes)[:1]


@fails("test_victims_are_enough_or_none")
class InVain(LeastRecentlyUsed):
    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        return super().choose(candidates, needed_bytes) or [*candidates]


@fails("test_the_choice_is_the_same_each_time")
class ByChance(LeastRecentlyUsed):
    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        if sum(each.held_bytes for each in candidates) < needed_bytes:
            return []
        victims, freed = [], 0
        for each in random.sample(list(candidates), len(candidates)):
            if freed < needed_bytes:
                victims.append(each)
                freed += each.held_bytes
        return victims


@fails("test_the_order_of_the_candidates_does_not_matter")
class FirstCome(LeastRecentlyUsed):
    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        if sum(each.held_bytes for each in candidates) < needed_bytes:
            return []
        victims: list[Candidate] = []
        for each in candidates:
            if sum(victim.held_bytes for victim in victims) < needed_bytes:
                victims.append(each)
        return victims


@fails("test_only_the_order_of_times_matters")
class SinceTheEpoch(LeastRecentlyUsed):
    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        turned = [
            replace(
                each, last_used_s=-each.last_used_s if each.last_used_s > 1e5 else each.last_used_s
            )
            for each in candidates
        ]
        chosen = {each.model for each in super().choose(turned, needed_bytes)}
        return [each for each in candidates if each.model in chosen]


@fails("test_what_it_is_given_stays_as_it_is")
class SortsItsArgument(LeastRecentlyUsed):
    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        assert isinstance(candidates, list)
        candidates.sort(key=lambda each: each.model)
        return super().choose(candidates, needed_bytes)


@fails("test_many_candidates_take_no_time")
class TriesAll(LeastRecentlyUsed):
    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        if len(candidates) > 1000:
            time.sleep(0.25)
        return super().choose(candidates, needed_bytes)


# Formatters.


@fails("test_its_media_type_can_be_accepted")
class JustWords(Ndjson):
    media_type = "lines of JSON"


@fails("test_every_chunk_is_encoded")
class WritesText(Ndjson):
    def encode(self, chunk: Chunk) -> bytes:
        encoded = super().encode(chunk)
        return encoded.decode() if isinstance(chunk, Done) else encoded  # type: ignore[return-value]  # the fault


@fails("test_every_chunk_is_encoded")
class LosesCalls(Ndjson):
    def encode(self, chunk: Chunk) -> bytes:
        return super().encode(chunk) if isinstance(chunk, Token | Done) else b""


@fails("test_different_texts_are_different_bytes")
class Redacts(Ndjson):
    def encode(self, chunk: Chunk) -> bytes:
        return super().encode(Token(text="…") if isinstance(chunk, Token) else chunk)


@fails("test_no_text_breaks_the_framing")
class EscapesNothing(Ndjson):
    def encode(self, chunk: Chunk) -> bytes:
        return b"%b\n" % chunk.text.encode() if isinstance(chunk, Token) else super().encode(chunk)


@fails("test_a_failure_says_what_has_failed")
class SaysSorry(Ndjson):
    def encode_error(self, error: ModeldError, status: int) -> bytes:
        return b'{"error": "sorry"}\n'


@fails("test_it_keeps_nothing_of_one_stream_for_another")
class Numbers(Ndjson):
    count = 0

    def encode(self, chunk: Chunk) -> bytes:
        self.count += 1
        return b'{"n":%d}' % self.count + super().encode(chunk)


@fails("test_it_works_beside_the_event_loop")
class NeedsTheLoop(Ndjson):
    def encode(self, chunk: Chunk) -> bytes:
        if threading.current_thread().name == "modeld-encode":
            asyncio.get_running_loop()
        return super().encode(chunk)


# Observers.


@fails("test_it_takes_every_event")
class Awaits(Counting):
    async def notify(self, event: Event) -> None:  # type: ignore[override]  # the fault
        super().notify(event)


@fails("test_it_returns_at_once")
class Writes(Counting):
    def notify(self, event: Event) -> None:
        super().notify(event)
        if type(event).__name__ == "ModelEvicted":
            time.sleep(0.06)


@fails("test_it_does_not_grow_with_every_event")
class Remembers(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.all: list[Event] = []

    def notify(self, event: Event) -> None:
        self.all.append(event)


@fails("test_nothing_is_left_of_an_event")
class OneThreadEach(Counting):
    def notify(self, event: Event) -> None:
        super().notify(event)
        if type(event).__name__ == "ModelLoading":
            threading.Thread(target=threading.Event().wait, daemon=True).start()
