# SPDX-License-Identifier: GPL-3.0-only
"""Has backends estimate, measure, load and close models, and checks all that they return."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from modeld.capabilities import Capability
from modeld.device_bytes import DeviceBytes
from modeld.errors import ConfigurationError, InternalError, LoadFailedError, ModeldError
from modeld.events import Event, ModelLoading, ModelLoadProgress
from modeld.hosting.host import Hosting
from modeld.hosting.loading import LoadingHost
from modeld.hosting.pauses import Silence
from modeld.interfaces import Engine
from modeld.plugins.faults import NoteFault, only_logged
from modeld.plugins.guard import PluginCall, PluginFault, called, described, said
from modeld.serving.contained_engine import ContainedEngine, contained
from modeld.serving.models.estimate import held_of
from modeld.serving.session_files import MemoryFiles, SessionFile
from modeld.serving.session_store import SessionStore
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.warm_up import warm_up
from modeld.values import Options

KILLED_S = 0.5
"""How long a worker may take to be gone once it was killed."""

log = logging.getLogger("modeld.loader")

T = TypeVar("T")


class Loader:
    """``timeout_s`` bounds a load's time without progress, and a whole measurement.

    Engines get their session files from ``sessions``, and these get them back.
    """

    def __init__(
        self,
        hosting: Hosting,
        sessions: SessionStore | None,
        *,
        timeout_s: float,
        notify: Callable[[Event], None],
        note: NoteFault = only_logged,
    ) -> None:
        self._hosting = hosting
        self._sessions = sessions or SessionStore(MemoryFiles(), 0)
        self._session_files: dict[Engine, SessionFile] = {}
        self._timeout_s = timeout_s
        self._notify = notify
        self._note = note

    async def load(self, entry: ModelEntry, instance: Instance) -> tuple[Engine, float]:
        """Run the backend's load for as long as it makes progress, and then the warm-up.

        Returned are the engine and for how many seconds it has warmed up.

        Whatever happens, no worker is left of it but those of the engine that is returned.

        Raises:
            Exception: whatever the backend raises; the load has failed.
        """
        is_kept = entry.backend.keeps_sessions is True
        file = await self._sessions.take(instance.spec) if is_kept else None
        try:
            engine = await self._load(entry, instance, file)
        except BaseException:
            if file is not None:
                await self._sessions.give_back(file)
            raise
        if file is not None:
            self._session_files[engine] = file
        try:
            return engine, await warm_up(entry, engine, self._timeout_s)
        except BaseException:
            await self.close(entry, engine)
            raise

    async def _load(
        self, entry: ModelEntry, instance: Instance, file: SessionFile | None
    ) -> Engine:
        model, backend = entry.spec.id, entry.backend
        log.info(
            "loading %s with %s, %d MiB expected", model, backend.name, entry.need.size_bytes >> 20
        )
        if instance.fitting is not None:
            log.warning("%s is loaded with less, to fit: %s", model, instance.fitting.gives_up)
        options = entry.options if instance.fitted is None else instance.fitted.options
        self._notify(ModelLoading(model=model))
        clock = asyncio.get_running_loop().time
        silence = Silence(self._timeout_s, clock())

        def on_progress(fraction: float) -> None:
            silence.sign(clock())
            self._notify(ModelLoadProgress(model=model, fraction=fraction))

        host = self._hosting.engine_host(on_progress)
        host.sessions = None if file is None else self._sessions.handed(file)
        call = PluginCall(
            f"backend {backend.name!r}: load",
            lambda: backend.load(instance.spec, options, host),
            unwanted=partial(self._close_unused, host, backend.name),
        )
        try:
            if await _ended(call, silence):
                engine = await contained(call.result(), host, backend.name, self._note)
                _check_slots(engine, entry, options)
                return engine
        except PluginFault as exc:
            await _abandon(call, host)
            raise LoadFailedError(str(exc)) from exc
        except BaseException:
            # A cancelled load, too: the worker that it has started would hold its memory for ever.
            await _abandon(call, host)
            raise
        await _abandon(call, host)
        raise LoadFailedError(f"the load made no progress for {self._timeout_s:g} s")

    async def measure(
        self, entry: ModelEntry, options: Options, estimated: DeviceBytes
    ) -> DeviceBytes | None:
        """Return what the backend measures with ``options`` on each device; ``None`` if it cannot.

        Raises:
            Exception: whatever the backend raises; nothing was measured.
        """
        backend, clock = entry.backend, asyncio.get_running_loop().time
        host = self._hosting.engine_host(lambda _fraction: None)
        call = PluginCall(
            f"backend {backend.name!r}: measure",
            lambda: backend.measure(entry.spec, options, host),
        )
        try:
            if not await _ended(call, Silence(self._timeout_s, clock())):
                limit_s = self._timeout_s
                raise LoadFailedError(f"the measurement took longer than {limit_s:g} s")
            measured = call.result()
            if measured is None:
                return None
            held = held_of(f"backend {backend.name!r}: measure", measured)
        except PluginFault as exc:
            raise LoadFailedError(str(exc)) from exc
        finally:
            await _abandon(call, host)
        measured_mb, estimated_mb = held.total_bytes >> 20, estimated.total_bytes >> 20
        log.info("%s: %d MiB measured, %d estimated", entry.spec.id, measured_mb, estimated_mb)
        return held

    async def close(self, entry: ModelEntry, engine: Engine) -> None:
        """Close an engine and keep its last words. One that fails is gone all the same."""
        try:
            entry.log_tail = engine.log_tail()
            await engine.aclose()
        except Exception as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
            what = f"engine of {entry.spec.id!r} did not close cleanly: {said(exc)}"
            self._note("backend", entry.backend.name, what, exc)
        finally:
            # Before the bytes of the model count as free: what stays of them is counted first.
            if file := self._session_files.pop(engine, None):
                await self._sessions.give_back(file)

    async def end(self, entry: ModelEntry, engine: Engine, grace_s: float) -> None:
        """Close an engine for good. After ``grace_s`` it is given up, which kills a worker."""
        try:
            async with asyncio.timeout(grace_s):
                await self.close(entry, engine)
        except TimeoutError:
            log.warning("%s did not close within %g s and is given up", entry.spec.id, grace_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KILLED_S):
                    await engine.wait_exited()

    async def _close_unused(self, host: LoadingHost, backend: str, engine: object) -> None:
        """Close what a load has returned that was given up, or whose engine cannot be used."""
        if isinstance(engine, Engine):
            try:
                await ContainedEngine(engine, host, backend, self._note).aclose()
            except Exception as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
                what = f"an engine of backend {backend!r} that is not used did not close"
                self._note("backend", backend, f"{what}: {said(exc)}", exc)


def _check_slots(engine: Engine, entry: ModelEntry, options: Options) -> None:
    """Refuse an engine that works on fewer requests at once than the model's options ask for.

    Raises:
        ConfigurationError: it does.
    """
    wanted = options.slots
    if wanted is None or engine.slots >= wanted:
        return
    raise ConfigurationError(
        f"the option slots is {wanted}, and an engine of backend {entry.backend.name!r} works"
        f" on {engine.slots} at once; set it to {engine.slots} at most, or leave it out",
        field="models",
    )


def advice(entry: ModelEntry, note: NoteFault, missing: Capability) -> str:
    """Return what the backend says about a capability that the model lacks."""
    what = f"backend {entry.backend.name!r}: advice"
    try:
        return called(what, lambda: str(entry.backend.advice(missing, entry.spec, entry.options)))
    except Exception as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
        note("backend", entry.backend.name, str(exc), exc)
        return ""


@contextlib.contextmanager
def blamed(entry: ModelEntry, note: NoteFault) -> Iterator[None]:
    """Note what an engine does wrong with a request, and make an error of modeld's of it."""
    try:
        yield
    except Exception as exc:
        if isinstance(exc, ModeldError) and exc.code != InternalError.code:
            raise
        name = entry.backend.name
        where = f"backend {name!r}, serving {entry.spec.id!r}"
        if isinstance(exc, ModeldError):
            note("backend", name, f"{where}: {exc.message}", exc)
            raise
        message = f"{where} raised {described(exc)}"
        note("backend", name, message, exc)
        raise InternalError(message) from exc


async def _ended(call: PluginCall[T], silence: Silence) -> bool:
    """Return whether the call ends before the silence is over."""
    clock = asyncio.get_running_loop().time
    while not await call.wait(silence.wait_s(clock())):
        if silence.is_over(clock()):
            return False
    return True


async def _abandon(call: PluginCall[T], host: LoadingHost) -> None:
    """End what may still run of a call, and every worker that it has left behind."""
    try:
        await call.give_up()
    finally:
        await host.aclose()
