# SPDX-License-Identifier: GPL-3.0-only
"""A chat that comes back after its model was evicted: with its session, without, and never evicted.

Three servers of modeld's run at once, and one at a time has work. In two of them a second model
makes the first one leave between two turns of a chat; one of these keeps no sessions.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import servers
from tests.bench.contest import Contest, ratio
from tests.bench.load import Load, clients
from tests.bench.servers import Server, get
from tests.support.gguf.real_models import GEMMA3, SMOLLM2, models_folder

CONTEXT = 4096
CHAT_TOKENS = 2000
NEW_WORDS = 20
WRITTEN = 32
SWAPS = 5
"""So many swaps are timed in turn for each repeat: one takes less than the noise of a machine."""

WARM_WORKER_S = 2.0  # a warm worker has imported its runtime by then
BUDGETS_MB = {SMOLLM2: 500, GEMMA3: 800}
"""For one of two copies and what a chat leaves, and not for both."""

CHAT, OTHER = "chat.gguf", "other.gguf"
GOALS = "goals 0.2, 1.1 and 0"


@dataclass(frozen=True)
class Turns:
    """What one repeat has measured of one server."""

    first_s: float
    text: str


def returning_chat(contest: Contest) -> list[str]:
    """Return a row for each of the two models."""
    return [_row(contest, name) for name in (SMOLLM2, GEMMA3)]


def _row(contest: Contest, name: str) -> str:
    measured: dict[str, list[Turns]] = {"kept": [], "computed": [], "stays": []}
    swaps: dict[str, list[float]] = {"kept": [], "computed": []}
    models = models_folder()
    with (
        tempfile.TemporaryDirectory(dir=models.resolve()) as folder,
        ExitStack() as stack,
    ):
        for link in (CHAT, OTHER):
            os.link(models / name, Path(folder) / link)
        budget_mb = BUDGETS_MB[name]
        load = stack.enter_context(clients())
        running = {
            "kept": stack.enter_context(_modeld(Path(folder), contest, budget_mb)),
            "computed": stack.enter_context(_modeld(Path(folder), contest, budget_mb, quota_mb=0)),
            "stays": stack.enter_context(_modeld(Path(folder), contest, 2 * budget_mb)),
        }
        for repeat in range(contest.repeats):
            turns = contest.words(CHAT_TOKENS), contest.words(NEW_WORDS)
            for kind in list(running) if repeat % 2 == 0 else reversed(list(running)):
                measured[kind].append(_turns(running[kind], load, *turns))
            # The chat is in the session file of the first model each time that this one leaves.
            for swap in range(SWAPS):
                for kind in list(swaps) if swap % 2 == 0 else reversed(list(swaps)):
                    swaps[kind].append(_swap_s(running[kind], load, OTHER))
                    _swap_s(running[kind], load, CHAT)
    return f"{name}: {_summary(measured, swaps)}"


def _summary(measured: dict[str, list[Turns]], swaps: dict[str, list[float]]) -> str:
    firsts = {kind: [each.first_s for each in of] for kind, of in measured.items()}
    pairs = zip(measured["kept"], measured["stays"], strict=True)
    wrong = sum(kept.text != stays.text for kept, stays in pairs)
    first_s = {kind: statistics.median(times) for kind, times in firsts.items()}
    swap_s = {kind: statistics.median(times) for kind, times in swaps.items()}
    return (
        f"first token of a chat that returns {first_s['kept']:.3f} s, computed again"
        f" {first_s['computed']:.3f} s, ratio {ratio(firsts['kept'], firsts['computed']):.3f},"
        f" never evicted {first_s['stays']:.3f} s; the swap before {swap_s['kept']:.3f} s, without"
        f" saving {swap_s['computed']:.3f} s, ratio {ratio(swaps['kept'], swaps['computed']):.3f};"
        f" {wrong} of {len(firsts['kept'])} generations differ ({GOALS})"
    )


def _turns(server: Server, load: Load, begins: str, goes_on: str) -> Turns:
    """Have two turns of a chat, and another model in memory between them where it takes that."""
    (first,) = load.play("together", server, [_body(server, begins, CHAT)])
    _swap_s(server, load, OTHER)
    _wait_for_warm_worker(server)
    prompt = f"{begins}{first.last['content']} {goes_on}"
    (second,) = load.play("together", server, [_body(server, prompt, CHAT)])
    return Turns(second.first_s, second.last["content"])


def _swap_s(server: Server, load: Load, model: str) -> float:
    """Return the time to the first token of a model that comes in place of the other."""
    _wait_for_warm_worker(server)
    (swap,) = load.play("together", server, [_body(server, "hello", model, tokens=1)])
    return swap.first_s


def _body(server: Server, prompt: str, model: str, tokens: int = WRITTEN) -> dict[str, object]:
    return server.body(prompt, tokens, temperature=0, model=model)


def _wait_for_warm_worker(server: Server) -> None:
    while json.loads(get(server.port, "/status"))["warm_workers"] != 1:
        time.sleep(0.05)
    time.sleep(WARM_WORKER_S)


@contextmanager
def _modeld(
    folder: Path, contest: Contest, budget_mb: int, quota_mb: int = 512
) -> Iterator[Server]:
    port = servers.free_port()
    options = json.dumps({"*": {"context": CONTEXT, "slots": 1, "threads": contest.threads}})
    command = [
        *(sys.executable, "-m", "modeld.cli.main", "serve", "--addr", f"127.0.0.1:{port}"),
        *("--models-dir", str(folder), "--models", options, "--log-level", "off"),
        *("--memory-budget-mb", str(budget_mb), "--share-machine", "--min-residence-s", "0"),
        *("--session-quota-mb", str(quota_mb)),
    ]
    with servers.running(command, port, "/healthz") as pid:
        yield Server("modeld", port, pid, "/infer", "max_tokens")
