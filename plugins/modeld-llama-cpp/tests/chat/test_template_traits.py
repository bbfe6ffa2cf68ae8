# SPDX-License-Identifier: GPL-3.0-only
"""What is found out about templates, by templates that are as different as the real ones."""

from __future__ import annotations

import msgspec
import pytest
from modeld_llama_cpp.chat import template_process
from modeld_llama_cpp.chat.template_traits import traits_of
from modeld_llama_cpp.chat.traits import Traits

PLAIN = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
TOOLS = "{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}"
LOOP = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}"
END = "{% endfor %}{% endfor %}"
AS_OBJECT = LOOP + "{{ c.function.name }}({{ c.function.arguments | tojson }})" + END
AS_TEXT = LOOP + "{{ c.function.name + c.function.arguments }}" + END
UNESCAPED = LOOP + "{{ c.function.name }}{{ c.function.arguments }}" + END
EITHER = (
    LOOP + "{{ c.function.name }}{% if c.function.arguments is string %}{{ c.function.arguments }}"
    "{% else %}{{ c.function.arguments | tojson }}{% endif %}" + END
)
TAGS = (
    LOOP + "{{ c.function.name }}{% for k, v in c.function.arguments.items() %}"
    "<{{ k }}>{{ v }}</{{ k }}>{% endfor %}" + END
)
ONLY_NULL = (
    "{% for m in messages %}{% if m.content is none %}{% for c in m.tool_calls %}"
    "{{ c.function.name + c.function.arguments }}{% endfor %}{% else %}{{ m.content }}{% endif %}"
    "{% endfor %}"
)
TYPED_RESULTS = (
    "{% for m in messages %}{% if m.role == 'tool' %}{{ m.content[0].text }}{% else %}"
    "{{ m.content + '' }}{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}"
    "{% endif %}{% endfor %}"
)


def traits(source: str) -> Traits:
    template = template_process.environment().from_string(source)
    found = traits_of(
        template_process.variables(source),
        lambda values: template_process.render(template, values),
    )
    return msgspec.convert(found, Traits)


def test_a_plain_template_takes_no_tools_and_no_calls() -> None:
    found = traits(PLAIN)
    assert found.keeps_system
    assert not found.keeps_tools
    assert not found.keeps_calls
    assert not found.keeps_results
    assert found.reasoning is None


@pytest.mark.parametrize(
    "source", [TOOLS + PLAIN, "{{ tools | map(attribute='function') | list }}"]
)
def test_a_template_that_writes_the_names_of_tools_takes_them(source: str) -> None:
    assert traits(source).keeps_tools


@pytest.mark.parametrize(
    ("source", "as_text"),
    [(AS_OBJECT, False), (AS_TEXT, True), (UNESCAPED, True), (EITHER, False), (TAGS, False)],
)
def test_arguments_are_given_in_the_form_that_the_template_writes_well(
    source: str, as_text: bool
) -> None:
    found = traits(source)
    assert found.keeps_calls
    assert found.arguments_as_text == as_text
    assert found.keeps_results
    assert not found.no_content_beside_calls


def test_a_template_may_take_calls_only_where_there_is_no_content() -> None:
    found = traits(ONLY_NULL)
    assert found.keeps_calls
    assert found.no_content_beside_calls
    assert found.arguments_as_text


def test_results_may_be_lists_of_parts() -> None:
    found = traits(TYPED_RESULTS)
    assert found.is_typed("tool")
    assert not found.is_typed("user")


@pytest.mark.parametrize(
    ("read", "member"),
    [
        ("{{ m.reasoning_content }}", "reasoning_content"),
        ("{% if 'thinking' in m %}{{ m['thinking'] }}{% endif %}", "thinking"),
        ("{% if loop.last %}{{ m.get('reasoning') }}{% endif %}", "reasoning"),
        ("{{ m.reasoning_content or m.reasoning }}", "reasoning_content"),
        ("{% if thinking %}think{% endif %}", None),
    ],
)
def test_former_thoughts_are_given_where_the_template_looks(read: str, member: str | None) -> None:
    source = f"{{% for m in messages %}}{{{{ m.content }}}}{read}{{% endfor %}}"
    assert traits(source).reasoning == member


def test_thoughts_may_be_kept_only_beside_calls() -> None:
    assert traits(AS_OBJECT).reasoning is None
    beside = AS_OBJECT.replace("{{ c.function.name", "{{ m.thinking }}{{ c.function.name")
    assert traits(beside).reasoning == "thinking"


def test_the_variables_are_those_that_nobody_sets_in_it() -> None:
    source = (
        "{% if enable_thinking is not defined %}{% set enable_thinking = true %}{% endif %}"
        "{% set own = 1 %}{% for m in messages %}{{ m.content ~ own ~ date }}{% endfor %}"
        "{{ raise_exception('x') if False }}{{ namespace(a=1).a }}"
    )
    assert traits(source).variables == {"enable_thinking", "messages", "date"}


def test_a_template_that_drops_or_refuses_system_turns_does_not_keep_them() -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + PLAIN
    drops = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    assert not traits(refuses).keeps_system
    assert not traits(drops).keeps_system


def test_a_template_that_raises_at_every_trial_keeps_nothing() -> None:
    assert traits("{{ raise_exception('no') }}") == Traits(keeps_system=False)
