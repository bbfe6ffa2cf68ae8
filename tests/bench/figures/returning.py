# SPDX-License-Identifier: GPL-3.0-only
"""A chat that comes back after its model was evicted: with its session, without, and never evicted.

Three servers of modeld's run at once, and one at a time has work. In two of them a second model
makes the first one leave between two turns of a chat; one of these keeps no sessions.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import servers
from tests.bench.contest import Contest, to_and_fro
from tests.bench.load import Load, clients
from tests.bench.rows import OURS, Goal, Row
from tests.bench.servers import HERE, Checkout, Server, wait_until_ready_to_swap
from tests.support.gguf.real_models import GEMMA3, SMOLLM2, models_folder

CONTEXT = 4096
CHAT_TOKENS = 2000
NEW_WORDS = 20
WRITTEN = 32
SWAPS = 5
"""So many swaps are timed in turn for each repeat: one takes less than the noise of a machine."""

BUDGETS_MB = {SMOLLM2: 500, GEMMA3: 800}
"""For one of two copies and what a chat leaves, and not for both."""

CHAT, OTHER = "chat.gguf", "other.gguf"
COMPUTED, STAYS = "computed again", "never evicted"


@dataclass(frozen=True)
class ReturningChat:
    """What one repeat has measured of one server."""

    first_s: float
    text: str


def returning_chat(contest: Contest) -> list[Row | str]:
    """Return the rows of the two models; the short form has the smaller one's."""
    names = [SMOLLM2] if contest.is_short else [SMOLLM2, GEMMA3]
    return [row for name in names for row in _rows(contest, name)]


def _rows(contest: Contest, name: str) -> list[Row | str]:
    with _servers(contest, name) as running, clients() as load:
        # What evicts nobody swaps nothing.
        swapping = [each for each in running if each.name != STAYS]
        chats: dict[str, list[ReturningChat]] = {each.name: [] for each in running}
        swaps: dict[str, list[float]] = {each.name: [] for each in swapping}
        for turn in contest.turns():
            turns = contest.words(contest.sized(CHAT_TOKENS, 800)), contest.words(NEW_WORDS)
            for server in to_and_fro(running, turn):
                chats[server.name].append(_turns(server, load, *turns))
            # The chat is in the session file of the first model each time that this one leaves.
            for number in range(contest.sized(SWAPS, 1)):
                for server in to_and_fro(swapping, number):
                    swaps[server.name].append(_swap_s(server, load, OTHER))
                    _swap_s(server, load, CHAT)
    wrong = sum(
        kept.text != stays.text for kept, stays in zip(chats[OURS], chats[STAYS], strict=True)
    )
    firsts = {server: [each.first_s for each in of] for server, of in chats.items()}
    of, form = f"returning-chat/{name}", ".3f"
    what, swap = f"{name}: first token of a chat that returns", "  the swap before"
    goal, swap_goal = (Goal(most=most, against=(COMPUTED,)) for most in (0.2, 1.1))
    return [
        Row(name=of, what=what, unit="s", measured=firsts, form=form, goal=goal),
        Row(name=f"{of}/swap", what=swap, unit="s", measured=swaps, form=form, goal=swap_goal),
        f"  {wrong} of {len(chats[OURS])} generations differ from one never evicted (goal 0)",
    ]


@contextmanager
def _servers(contest: Contest, name: str) -> Iterator[list[Server]]:
    """Run each checkout with a budget that evicts, and this one without sessions and evictions."""
    models, budget_mb = models_folder(), BUDGETS_MB[name]
    with (
        tempfile.TemporaryDirectory(dir=models.resolve()) as folder,
        ExitStack() as stack,
    ):
        for link in (CHAT, OTHER):
            os.link(models / name, Path(folder) / link)
        made = [_modeld(Path(folder), contest, budget_mb, each) for each in contest.checkouts]
        made.append(_modeld(Path(folder), contest, budget_mb, HERE, name=COMPUTED, quota_mb=0))
        made.append(_modeld(Path(folder), contest, 2 * budget_mb, HERE, name=STAYS))
        yield [stack.enter_context(each) for each in made]


def _turns(server: Server, load: Load, begins: str, goes_on: str) -> ReturningChat:
    """Have two turns of a chat, and another model in memory between them where it takes that."""
    (first,) = load.play("together", server, [_body(server, begins, CHAT)])
    _swap_s(server, load, OTHER)
    wait_until_ready_to_swap(server.port, server.pid)
    prompt = f"{begins}{first.last['content']} {goes_on}"
    (second,) = load.play("together", server, [_body(server, prompt, CHAT)])
    return ReturningChat(second.first_s, second.last["content"])


def _swap_s(server: Server, load: Load, model: str) -> float:
    """Return the time to the first token of a model that comes in place of the other."""
    wait_until_ready_to_swap(server.port, server.pid)
    (swap,) = load.play("together", server, [_body(server, "hello", model, tokens=1)])
    return swap.first_s


def _body(server: Server, prompt: str, model: str, tokens: int = WRITTEN) -> dict[str, object]:
    return server.body(prompt, tokens, temperature=0, model=model)


@contextmanager
def _modeld(
    folder: Path,
    contest: Contest,
    budget_mb: int,
    checkout: Checkout,
    *,
    name: str | None = None,
    quota_mb: int = 512,
) -> Iterator[Server]:
    port = servers.free_port()
    options = json.dumps({"*": {"context": CONTEXT, "slots": 1, "threads": contest.threads}})
    command = [
        *checkout.command("modeld.cli.main", "serve", "--addr", f"127.0.0.1:{port}"),
        *("--models-dir", str(folder), "--models", options, "--log-level", "off"),
        *(*checkout.budget(budget_mb), *checkout.sharing, "--min-residence-s", "0"),
        *checkout.flag("--session-quota-mb", value=str(quota_mb)),
    ]
    with servers.running(command, port, "/healthz", checkout.root) as pid:
        yield Server(name or checkout.name, port, pid, "/infer", "max_tokens")
