# SPDX-License-Identifier: GPL-3.0-only
"""An engine that follows a script: the prompt is a JSON object that says what happens.

    {"tokens": 5}                   five tokens "t0 " to "t4 "
    {"tokens": 5, "gate": PATH}     nothing is produced before the file PATH exists
    {"tokens": 5, "gate_at": 2, …}  the gate stands before token 2
    {"tokens": 9, "fault": "SIGKILL", "at": 3}
                                    at token 3: a signal by name, "exit N", "raise", "hang",
                                    "garbage", "huge", "flood BYTES", "wrong id",
                                    "block PATH" (until the file exists), "allocate MIB",
                                    "grandchild" (a process that outlives the engine),
                                    "SystemExit", "cry WORDS" (last words, then exit 7),
                                    "invalid WORDS" (raises invalid_model),
                                    "quota" (raises an error of the rig's own),
                                    "unspeakable" (raises what cannot be written)
    {"submit": "raise"}             the fault happens when the request is handed over
    {"refuse": MESSAGE}             it is refused with invalid_request
    {"quota": true}                 it is refused with an error of the rig's own
    {"tokens": 9, "response": "text", "at": 3}
                                    a unary response where token 3 should be (see below)
A prompt that is not JSON gives one token for each of its words. ``rig_case`` and ``rig_repeats``,
the rig's own sampling parameters, say how they are written and how often each comes. Where logprobs
are asked for, each token has some.

Unary requests are served as :mod:`modeld_rig.responses` says. The first of their texts (the first
input, the query, the first message, the text of the tokens) may be a plan too:

    {"fault": "SIGKILL"}            as above, also "gate", "delay_s", "submit", "refuse", "nonce"
    {"unsupported": true}           it is refused with not_supported
    {"response": KIND}              a response of another kind: "embeddings", "ranking", "tokens",
                                    "text", or "token" or "done", which belong to a request
    {"vectors": 2048, "dimensions": 4096}
                                    so many vectors, each of so many numbers
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from modeld import (
    Done,
    FinishReason,
    ModelSpec,
    StepChunk,
    StepEngine,
    Token,
    Usage,
)
from modeld.errors import InvalidModelError
from modeld.interfaces import ReportProgress
from modeld.requests import AnyRequest
from modeld.responses import AnyUnaryResponse
from modeld_rig.responses import STRAY
from modeld_rig.script import Script

POLL_S = 0.001


class UnspeakableError(Exception):
    """Cannot be written."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class RigEngine(StepEngine):
    def __init__(self, options: Mapping[str, Any]) -> None:
        self.slots = options["slots"]
        self.held_bytes = options["held_mb"] << 20
        self._journal = options["journal"]
        self._close_fault = options.get("close_fault", "")
        self._scripts: dict[int, Script] = {}
        self._paused: set[int] = set()
        self._interrupted = threading.Event()

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> "RigEngine":
        engine = cls(options)
        engine.note(f"load {spec.id}")
        progress(0.5)
        engine.wait(str(options["load_gate"]), lambda: progress(0.6))
        engine.commit(str(options["load_fault"]))
        progress(1.0)
        return engine

    def note(self, line: str) -> None:
        if self._journal:
            with Path(self._journal).open("a") as journal:
                journal.write(line + "\n")

    def wait(self, gate: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Until the file exists."""
        while gate and not Path(gate).exists():
            time.sleep(POLL_S)
            meanwhile()

    def submit(self, request_id: int, request: AnyRequest) -> None:
        script = Script(request)
        assert len(self._scripts) < self.slots, "the host has exceeded the slots"
        self.note(f"start {script.nonce}")
        self.commit(script.fault_on_submit)
        self._scripts[request_id] = script

    def step(self) -> Sequence[tuple[int, StepChunk | AnyUnaryResponse]]:
        produced: list[tuple[int, StepChunk | AnyUnaryResponse]] = []
        for request_id, script in list(self._scripts.items()):
            if request_id in self._paused:
                continue
            for _ in range(script.burst):
                if request_id not in self._scripts or script.is_shut:
                    break
                if script.fault == "wrong id" and script.position == script.fault_at:
                    produced.append((request_id + 1000, Token(text="stray ")))
                produced.append((request_id, self._advance(request_id, script)))
        if not produced:
            self._interrupted.wait(POLL_S)
        self._interrupted.clear()
        return produced

    def pause(self, request_id: int) -> bool:
        self._paused.add(request_id)
        return True

    def resume(self, request_id: int) -> None:
        self._paused.discard(request_id)

    def cancel(self, request_id: int) -> None:
        self._paused.discard(request_id)
        script = self._scripts.pop(request_id, None)
        if script is not None:
            self.note(f"cancel {script.nonce}")

    def interrupt(self, request_id: int) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self.note("close")
        self.commit(self._close_fault)

    def _advance(self, request_id: int, script: Script) -> StepChunk | AnyUnaryResponse:
        if script.delay_s:
            self._interrupted.wait(script.delay_s)
        if script.fault and script.position == script.fault_at:
            self.commit(script.fault)
        if script.is_stray:
            return self._stray(request_id, script)
        if script.position < len(script.words):
            return script.token()
        del self._scripts[request_id]
        self.note(f"end {script.nonce}")
        return script.response() if script.unary else done(script.position)

    def _stray(self, request_id: int, script: Script) -> StepChunk | AnyUnaryResponse:
        if script.stray == "token":
            return Token(text="stray ")
        del self._scripts[request_id]
        return done(0) if script.stray == "done" else STRAY[script.stray]

    def commit(self, fault: str) -> None:  # noqa: C901, PLR0912  (a flat list of faults)
        """Do what an engine must not do."""
        if fault:
            self.note(f"fault {fault}")
        kind, _, argument = fault.partition(" ")
        match kind:
            case "" | "wrong":
                return
            case "block":
                while not Path(argument).exists():
                    time.sleep(POLL_S)
            case "allocate":
                self._ballast = bytearray(int(argument) << 20)
            case "exit":
                os._exit(int(argument))
            case "grandchild":
                subprocess.Popen(["sleep", "3600"])
            case "cry":
                sys.stderr.write(argument + "\n")
                sys.stderr.flush()
                os._exit(7)
            case "SystemExit":
                sys.exit(0)
            case "raise":
                raise RuntimeError("the rig was told to fail")
            case "unspeakable":
                raise UnspeakableError
            case "invalid":
                raise InvalidModelError(argument)
            case "quota":
                import_module("modeld_rig.quota").exceed()
            case "hang":
                time.sleep(3600)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "garbage":
                channel().sendall(b"\x00\x00\x00\x04\xff\xff\xff\xff")
            case "huge":
                channel().sendall(b"\xff\xff\xff\xff")
            case "flood":
                sys.stderr.write(("x" * 99 + "\n") * (int(argument) // 100))
                sys.stderr.flush()
            case _:
                os.kill(os.getpid(), getattr(signal, kind))
                time.sleep(1)


def done(count: int) -> Done:
    """Return the end of a generation of ``count`` tokens."""
    usage = Usage(prompt_tokens=1, completion_tokens=count)
    return Done(finish_reason=FinishReason.STOP, usage=usage)


def channel() -> socket.socket:
    """Return the worker's own end of the channel, found as the only socket it has."""
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if "socket:" in str(entry.readlink()):
                return socket.socket(fileno=os.dup(int(entry.name)))
        except OSError:
            continue
    raise RuntimeError("no channel")
