# SPDX-License-Identifier: GPL-3.0-only
"""The process that renders chat templates: in a sandbox, under limits of the system.

Templates come with model files, so they are foreign code. Jinja's sandbox keeps them from reaching
anything; it does not keep them from using up time and memory, and no list of forbidden filters
can be complete. So they run in a limited process. This module imports nothing that a template does
not need.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from modeld_llama_cpp.chat.template_traits import traits_of
from modeld_llama_cpp.sandbox.child import Handler, Message, serve

MAX_TEXT_CHARS = 4 << 20


class Generation(Extension):
    """``{% generation %}`` … ``{% endgeneration %}``, which only training looks at."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the nodes of the body as they are."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> ImmutableSandboxedEnvironment:
    """Return the environment that model authors write their templates for."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _raise
    made.globals["strftime_now"] = _strftime_now
    return made


def render(template: Template, values: dict[str, object]) -> str:
    """Return the prompt for a chat, of at most :data:`MAX_TEXT_CHARS`.

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
    """Serve a template: take it, then render chats until the other end is closed."""
    serve(_prepare, parent_pid, limit_s)


def _prepare(setup: Message) -> Handler:
    """Take the template, and leave reading it to the first request, when the limits are in force.

    Jinja compiles what it reads, and a template can make that endless too.
    """
    source, template = str(setup["template"]), None

    def write(values: Message) -> str:
        nonlocal template
        if template is None:
            template = environment().from_string(source)
        return render(template, setup["values"] | values)

    def handle(request: Message) -> Message:
        if "values" in request:
            return {"text": write(request["values"])}
        return {"traits": traits_of(variables(source), write)}

    return handle


def variables(source: str) -> set[str]:
    """Return the variables that a template reads."""
    return meta.find_undeclared_variables(environment().parse(source))


def _raise(message: object) -> NoReturn:
    raise TemplateError(str(message))


def _strftime_now(layout: str) -> str:
    return datetime.now().astimezone().strftime(layout)


def _to_json(value: object, **options: Any) -> str:
    """Write JSON as it is, where Jinja's own filter would escape it for HTML."""
    return json.dumps(value, ensure_ascii=options.pop("ensure_ascii", False), **options)
