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
                                    "SystemExit", "cry WORDS" (last words, then exit 7)
    {"submit": "raise"}             the fault happens when the request is handed over
A prompt that is not JSON gives one token for each of its words.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modeld import (
    Done,
    FinishReason,
    GenerateRequest,
    ModelSpec,
    StepChunk,
    StepEngine,
    Token,
    Usage,
)
from modeld.errors import InvalidRequestError
from modeld.interfaces import ReportProgress

POLL_S = 0.001


class Script:
    """One running request."""

    def __init__(self, request: GenerateRequest) -> None:
        plan: dict[str, Any] = {}
        text = request.prompt or " ".join(m.content for m in request.messages or ())
        if text.startswith("{"):
            plan = json.loads(text)
            self.words = [f"t{number} " for number in range(plan.get("tokens", 1))]
        else:
            self.words = [word + " " for word in text.split()]
        if request.max_tokens is not None:
            self.words = self.words[: request.max_tokens]
        if plan.get("refuse"):
            raise InvalidRequestError(plan["refuse"], field="prompt")
        self.gate = plan.get("gate")
        self.gate_at = plan.get("gate_at", 0)
        self.fault = plan.get("fault", "")
        self.fault_at = plan.get("at", 0)
        self.delay_s = plan.get("delay_s", 0.0)
        self.burst = plan.get("burst", 1)
        self.nonce = plan.get("nonce", "")
        self.fault_on_submit = plan.get("submit", "")
        self.position = 0

    @property
    def is_shut(self) -> bool:
        return (
            self.gate is not None and self.position >= self.gate_at and not Path(self.gate).exists()
        )


class RigEngine(StepEngine):
    def __init__(self, options: Mapping[str, Any]) -> None:
        self.slots = options["slots"]
        self.held_bytes = options["held_mb"] << 20
        self._journal = options["journal"]
        self._close_fault = options.get("close_fault", "")
        self._scripts: dict[int, Script] = {}
        self._interrupted = threading.Event()

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> "RigEngine":
        engine = cls(options)
        engine.note(f"load {spec.id}")
        progress(0.5)
        gate = options["load_gate"]
        while gate and not Path(str(gate)).exists():
            time.sleep(POLL_S)
            progress(0.6)
        engine.commit(str(options["load_fault"]))
        progress(1.0)
        return engine

    def note(self, line: str) -> None:
        if self._journal:
            with Path(self._journal).open("a") as journal:
                journal.write(line + "\n")

    def submit(self, request_id: int, request: GenerateRequest) -> None:
        assert len(self._scripts) < self.slots, "the host has exceeded the slots"
        script = Script(request)
        self.note(f"start {script.nonce}")
        self.commit(script.fault_on_submit)
        self._scripts[request_id] = script

    def step(self) -> Sequence[tuple[int, StepChunk]]:
        produced: list[tuple[int, StepChunk]] = []
        for request_id, script in list(self._scripts.items()):
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

    def cancel(self, request_id: int) -> None:
        script = self._scripts.pop(request_id, None)
        if script is not None:
            self.note(f"cancel {script.nonce}")

    def interrupt(self, request_id: int) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self.note("close")
        self.commit(self._close_fault)

    def _advance(self, request_id: int, script: Script) -> StepChunk:
        if script.delay_s:
            self._interrupted.wait(script.delay_s)
        if script.fault and script.position == script.fault_at:
            self.commit(script.fault)
        if script.position >= len(script.words):
            del self._scripts[request_id]
            self.note(f"end {script.nonce}")
            usage = Usage(prompt_tokens=1, completion_tokens=script.position)
            return Done(finish_reason=FinishReason.STOP, usage=usage)
        word = script.words[script.position]
        script.position += 1
        return Token(text=word)

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


def channel() -> socket.socket:
    """The worker's own end of the channel, found as the only socket it has."""
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if "socket:" in str(entry.readlink()):
                return socket.socket(fileno=os.dup(int(entry.name)))
        except OSError:
            continue
    raise RuntimeError("no channel")
