# SPDX-License-Identifier: GPL-3.0-only
"""What the template process runs: chat templates in a sandbox, under limits of the system.

Templates come with model files, so they are foreign code. Jinja's sandbox keeps them from reaching
anything; it does not keep them from using up time and memory, and no list of forbidden filters
can be complete. So they run in a limited process. This module imports nothing that a template does
not need.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from modeld_llama_cpp.confinement import Answer, Message, serve

MAX_TEXT_CHARS = 4 << 20


class Generation(Extension):
    """``{% generation %}`` … ``{% endgeneration %}``, which only training looks at."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Pass the body on."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> ImmutableSandboxedEnvironment:
    """The environment that model authors write their templates for."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _raise
    made.globals["strftime_now"] = _strftime_now
    return made


def render(template: Template, values: dict[str, object]) -> str:
    """The prompt for a chat, up to :data:`MAX_TEXT_CHARS`.

    Raises:
        TemplateError: the template fails, or its text grows over the limit.
    """
    parts, size = [], 0
    for part in template.generate(values):
        size += len(part)
        if size > MAX_TEXT_CHARS:
            raise TemplateError(f"it wrote more than {MAX_TEXT_CHARS} characters")
        parts.append(part)
    return "".join(parts)


def main(parent_pid: int, limit_s: int) -> None:
    """Take a template, then chats for it, until the other end is closed."""
    serve(_prepare, parent_pid, limit_s)


def _prepare(setup: Message) -> Answer:
    """Take the template, but leave reading it to the first chat, when the limits are in force."""
    template: Template | None = None

    def answer(chat: Message) -> Message:
        nonlocal template
        template = template or environment().from_string(setup["template"])
        return {"text": render(template, setup["values"] | chat)}

    return answer


def _raise(message: object) -> NoReturn:
    raise TemplateError(str(message))


def _strftime_now(layout: str) -> str:
    return datetime.now().astimezone().strftime(layout)


def _to_json(value: object, **options: Any) -> str:
    """JSON as it is, where Jinja's own filter would escape it for HTML."""
    return json.dumps(value, ensure_ascii=options.pop("ensure_ascii", False), **options)
