# SPDX-License-Identifier: GPL-3.0-only
"""Work like that of chats: half of it free text, a quarter quotations, a quarter JSON."""

from __future__ import annotations

from typing import Final

from tests.bench.contest import Contest
from tests.bench.figures.throughput import CLIENTS, CONTEXT, SHORT_TOKENS, Meter, counted, rate_row
from tests.bench.rows import Row
from tests.bench.servers import Server

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


def chat_mix(contest: Contest) -> list[Row]:
    """Return tokens a second through HTTP of clients of which each asks for all kinds in turn."""
    rows: list[Row] = []
    with contest.arena(context=CONTEXT, slots=max(CLIENTS)) as (running, load):
        for clients in CLIENTS:
            # In the short form many clients ask once each: all kinds are among them all the same.
            rounds = contest.sized(ROUNDS, max(1, ROUNDS // clients))
            wanted = contest.sized(TOKENS, max(24, SHORT_TOKENS[clients]))
            meter = Meter(load)

            def fresh(clients: int = clients, rounds: int = rounds) -> list[list[Ask]]:
                topics = [[contest.words(6) for _ in range(clients)] for _ in range(rounds)]
                return [
                    [ask(topic, turn + number) for number, topic in enumerate(each)]
                    for turn, each in enumerate(topics)
                ]

            def once(
                server: Server, asked: list[list[Ask]], meter: Meter = meter, wanted: int = wanted
            ) -> float:
                return meter.rate(server, [_bodies(server, each, wanted) for each in asked])

            rates = contest.in_turn(running, fresh, once)
            rows.append(
                rate_row(f"chat-mix/{clients}", f"{counted(clients)}, chat-like", rates, least=1.05)
            )
            rows += meter.rows(f"chat-mix/{clients}")
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


def _bodies(server: Server, asks: list[Ask], tokens: int) -> list[dict[str, object]]:
    return [
        server.body(prompt, tokens, **{"seed": seed} | fields)
        for seed, (prompt, fields) in enumerate(asks)
    ]
