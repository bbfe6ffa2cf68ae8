# SPDX-License-Identifier: GPL-3.0-only
"""JSON under a schema, against llama-server: texts of which keys are a sixth, and a half.

The two may put blanks where they like and write other words, so what is compared is how many
characters of the objects they write a second, without the blanks between their parts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from tests.bench.contest import PEERS, Contest
from tests.bench.figures.throughput import CONTEXT, counted
from tests.bench.load import Load, whole_s
from tests.bench.rows import Goal, Row
from tests.bench.servers import Server

CLIENTS: Final = (1, 8, 32)
MOST_TOKENS: Final = 160


@dataclass(frozen=True, kw_only=True)
class Form:
    """An object that is asked for; ``share`` says how much of it its keys are, with their marks."""

    name: str
    share: str
    least: float
    properties: dict[str, Any]

    def schema(self, count: int) -> dict[str, object]:
        """Return a schema of so many of the properties, from the first on."""
        properties = dict(list(self.properties.items())[:count])
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


def _text(length: int) -> dict[str, object]:
    return {"type": "string", "minLength": length, "maxLength": length + 8}


FORMS: Final = (
    Form(
        name="sixth",
        share="a sixth",
        least=1.35,
        properties={"title": _text(28), "summary": _text(48), "reason": _text(40)},
    ),
    Form(
        name="half",
        share="half",
        least=1.8,
        properties={
            "favourite_colour": {"enum": ["dark green", "light blue", "bright red"]},
            "preferred_language": {"enum": ["Portuguese", "Norwegian", "Indonesian"]},
            "membership_since": {"enum": ["before the year 2000", "after the year 2000"]},
            "number_of_children": {"enum": ["none at all", "one or two", "three or more"]},
            "previous_occupation": {"enum": ["electrical engineer", "primary school teacher"]},
            "is_retired": {"type": "boolean"},
        },
    ),
)


def json_texts(contest: Contest) -> list[Row]:
    """Return the rows of both forms for all numbers of clients."""
    with contest.arena(context=CONTEXT, slots=max(CLIENTS)) as (running, load):
        return [
            row
            for form in FORMS
            for clients in CLIENTS
            for row in _rows(contest, running, load, form, clients)
        ]


def _rows(
    contest: Contest, running: list[Server], load: Load, form: Form, clients: int
) -> list[Row]:
    schema = form.schema(contest.sized(len(form.properties), max(1, len(form.properties) // 3)))
    cpu_us: dict[str, list[float]] = {server.name: [] for server in running}

    def fresh() -> list[str]:
        return [f"A JSON object about a {contest.words(6)}:\n" for _ in range(clients)]

    def once(server: Server, prompts: list[str]) -> float:
        before_s = server.cpu_s()
        outcomes = load.play("together", server, _bodies(server, prompts, schema))
        written = sum(_characters(outcome.text) for outcome in outcomes)
        cpu_us[server.name].append((server.cpu_s() - before_s) / written * 1e6)
        return written / whole_s(outcomes)

    rates = contest.in_turn(running, fresh, once)
    name, goal = f"json/{form.name}/{clients}", Goal(least=form.least, against=PEERS)
    what = f"{counted(clients)}, JSON whose keys are {form.share}"
    unit, below = "characters/s", "  server CPU per character"
    return [
        Row(
            name=f"{name}/rate",
            what=what,
            unit=unit,
            measured=rates,
            form=".0f",
            goal=goal,
            more=True,
        ),
        Row(name=f"{name}/cpu", what=below, unit="us", measured=cpu_us, form=".0f"),
    ]


def _bodies(
    server: Server, prompts: list[str], schema: dict[str, object]
) -> list[dict[str, object]]:
    fields = {"json_schema": schema, "ignore_eos": False, "temperature": 0.0}
    return [server.body(prompt, MOST_TOKENS, **fields) for prompt in prompts]


def _characters(text: str) -> int:
    """Return how long an object is when it is written without blanks.

    Raises:
        ValueError: it is not complete.
    """
    return len(json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False))
