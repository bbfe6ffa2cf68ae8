# SPDX-License-Identifier: GPL-3.0-only
"""What templates may use; the limits are tested with the process, in test_template.py."""

from __future__ import annotations

import re

import jinja2
import pytest
from modeld_llama_cpp.chat import template_process


def render(source: str, **values: object) -> str:
    return template_process.render(template_process.environment().from_string(source), values)


def test_json_is_not_escaped_for_html() -> None:
    assert render("{{ x | tojson }}", x={"a": "<ü>"}) == '{"a": "<ü>"}'
    assert render("{{ x | tojson(indent=1) }}", x=[1]) == "[\n 1\n]"


def test_a_template_can_raise() -> None:
    with pytest.raises(jinja2.TemplateError, match="roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}")


def test_a_template_can_ask_for_the_date() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", render("{{ strftime_now('%Y-%m-%d') }}"))


def test_loops_can_be_left() -> None:
    source = "{% for n in [1, 2, 3, 4] %}{% if n == 2 %}{% continue %}{% endif %}"
    assert render(source + "{% if n == 4 %}{% break %}{% endif %}{{ n }}{% endfor %}") == "13"


def test_blocks_leave_no_lines_of_their_own() -> None:
    assert render("{% if true %}\nyes\n  {% endif %}\nno") == "yes\nno"


def test_the_part_that_only_training_looks_at_is_passed_on() -> None:
    assert render("a{% generation %}b{% endgeneration %}c") == "abc"


@pytest.mark.parametrize(
    "payload",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ raise_exception.__globals__ }}",
        "{{ (''|attr('__class__')) ~ ''.__class__ }}",
        "{% set x = messages.append(1) %}",
        "{{ '%s'.__format__.__self__.__class__ }}",
        "{{ range(100001) | list }}",
    ],
)
def test_a_template_reaches_nothing_outside(payload: str) -> None:
    try:
        shown = render(payload, messages=[])
    except (jinja2.TemplateError, OverflowError):
        return
    assert shown == ""


def test_a_text_over_the_limit_is_refused() -> None:
    source = "{% for a in range(50000) %}{{ x }}{% endfor %}"
    with pytest.raises(jinja2.TemplateError, match="more than 4194304 characters"):
        render(source, x="x" * 100)
