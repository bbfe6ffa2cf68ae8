# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/errors.md has every error with its status."""

from __future__ import annotations

import ast
import inspect
import json
import re

import pytest

from modeld import errors
from modeld.builtin.metrics import REFUSALS
from modeld.httpapi.exchange.problems import STATUS
from modeld.httpapi.server import request_head
from tests.support.docs.pages import PAGES, blocks, prose, rows, section


def meaning(cls: type[errors.ModeldError]) -> str:
    """Return the first sentence of an error's docstring, in Markdown."""
    paragraph = (inspect.getdoc(cls) or "").split("\n\n")[0]
    return paragraph.replace("\n", " ").replace("``", "`")


def test_every_error_is_listed_with_its_status_and_what_it_means() -> None:
    _header, *found = rows(section("reference/errors.md", "Errors of requests"))
    codes = errors.error_codes()
    wanted = [
        (f"`{code}`", str(status), "yes" if codes[code].retryable else "no", meaning(codes[code]))
        for code, status in STATUS.items()
    ]
    assert [row[:4] for row in found] == wanted
    assert all(row[4].endswith(".") for row in found), "each says what to do"


def test_every_error_of_the_core_has_a_status() -> None:
    codes = {
        code for code, cls in errors.error_codes().items() if cls.__module__ == errors.__name__
    }
    assert codes == set(STATUS)


def test_everything_that_the_protocol_refuses_is_listed() -> None:
    calls = [
        call
        for call in ast.walk(ast.parse(inspect.getsource(request_head)))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "RefusedError"
    ]
    refused = {(ast.literal_eval(call.args[1]), ast.literal_eval(call.args[0])) for call in calls}
    _header, *found = rows(section("reference/errors.md", "Refused before they are requests"))
    assert {(row[0].strip("`"), int(row[1])) for row in found} == refused
    assert {(reason, int(status)) for status, reason in REFUSALS} == refused
    assert len(refused) > 3


def test_error_bodies_on_all_pages_have_the_status_of_their_reason() -> None:
    bodies = [json.loads(block.text) for block in blocks("json")]
    bodies += [json.loads(block.text.splitlines()[-1]) for block in blocks("jsonl")]
    shown = [body for body in bodies if "reason" in body]
    assert shown
    for body in shown:
        assert STATUS[body["reason"]] == body["code"]


@pytest.mark.parametrize("page", PAGES)
def test_a_status_before_a_reason_is_that_of_the_reason(page: str) -> None:
    for status, reason in re.findall(r"\b(\d{3}) `(\w+)`", prose(page)):
        assert STATUS.get(reason, int(status)) == int(status), f"{page}: {status} {reason}"
