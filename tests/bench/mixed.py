# SPDX-License-Identifier: GPL-3.0-only
"""Work like that of chats: half of it free text, a quarter quotations, a quarter JSON."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.bench.contest import Contest
from tests.bench.load import Load
from tests.bench.peer import CLIENTS, whole_s
from tests.bench.rows import compared
from tests.bench.servers import Server, computed_tokens

TOKENS = 64
ROUNDS = 4
"""So often each client asks, one request after the other."""

SCHEMA: Final = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "email_address": {"type": "string", "maxLength": 40},
        "favourite_colours": {
            "type": "array",
            "items": {"enum": ["red", "green", "blue", "yellow"]},
            "minItems": 2,
            "maxItems": 4,
        },
        "is_member": {"type": "boolean"},
    },
    "required": ["name", "age", "email_address", "favourite_colours", "is_member"],
    "additionalProperties": False,
}

SOURCE = '''import json
from pathlib import Path


def load_settings(path: Path) -> dict[str, object]:
    """Return the settings in a file."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(settings, dict):
        raise ValueError(f"{path} has no settings")
    return settings
'''


def chat_mix(contest: Contest) -> list[str]:
    """Return tokens a second through HTTP of clients of which each asks for all kinds in turn."""
    rows: list[str] = []
    with contest.arena(context=8192 + 4096, slots=max(CLIENTS)) as (running, load):
        for clients in CLIENTS:
            cpu_ms: dict[str, list[float]] = {server.name: [] for server in running}

            def fresh(clients: int = clients) -> list[list[Ask]]:
                topics = [[contest.words(6) for _ in range(clients)] for _ in range(ROUNDS)]
                return [
                    [ask(topic, turn + number) for number, topic in enumerate(each)]
                    for turn, each in enumerate(topics)
                ]

            rates = contest.in_turn(running, fresh, partial(_rate, load, cpu_ms))
            rate = compared(rates, ".0f", "tokens/s")
            rows.append(f"{clients} clients, chat-like: {rate} (goal at least 1.05)")
            rows.append(f"  server CPU per token: {compared(cpu_ms, '.2f', 'ms')}")
    return rows


Ask = tuple[str, dict[str, object]]
"""A prompt, and what is further asked of a server."""


def ask(topic: str, number: int) -> Ask:
    """Return one request, of the kind that comes at this number."""
    if number % 4 == 1:
        quoted = f"# {topic}\n{SOURCE}"
        prompt = f"A file:\n```python\n{quoted}```\nThe same file again:\n```python\n# {topic}\n"
        return prompt, {"temperature": 0.0}
    if number % 4 == 3:
        what = "the name, age, e-mail address and favourite colours of a person"
        prompt = f"A JSON object with {what} who likes {topic}:\n"
        return prompt, {"json_schema": SCHEMA, "ignore_eos": False, "temperature": 0.0}
    return f"Tell me a story about a {topic}. Once upon a time", {}


def _rate(
    load: Load, cpu_ms: dict[str, list[float]], server: Server, rounds: list[list[Ask]]
) -> float:
    before_s, tokens, spent_s = server.cpu_s(), 0, 0.0
    for asks in rounds:
        bodies = [
            server.body(prompt, TOKENS, **{"seed": seed} | fields)
            for seed, (prompt, fields) in enumerate(asks)
        ]
        outcomes = load.play("together", server, bodies)
        tokens += sum(computed_tokens(outcome.last)[1] for outcome in outcomes)
        spent_s += whole_s(outcomes)
    cpu_ms[server.name].append((server.cpu_s() - before_s) / tokens * 1000)
    return tokens / spent_s
