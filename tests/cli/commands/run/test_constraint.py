# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from pathlib import Path

import click
import pytest

from modeld.cli.commands.run.constraint import constrained
from modeld.cli.main import ExitCode, main
from modeld.requests import GenerateRequest

REQUEST = GenerateRequest(model="m")
GRAMMAR = 'root ::= "a"\n'


def test_without_either_the_request_stays_as_it_is():
    assert constrained(REQUEST, {}) is REQUEST


def test_a_grammar_comes_from_a_file(tmp_path):
    file = tmp_path / "a.gbnf"
    file.write_text(GRAMMAR)
    assert constrained(REQUEST, {"grammar_file": str(file)}) == GenerateRequest(
        model="m", grammar=GRAMMAR
    )


@pytest.mark.parametrize("text", ['{"type": "object"}', ' \n{"type": "object"}'])
def test_a_schema_is_json_or_the_name_of_a_file(text, tmp_path, monkeypatch):
    wanted = GenerateRequest(model="m", json_schema={"type": "object"})
    assert constrained(REQUEST, {"json_schema": text}) == wanted
    (tmp_path / "schema.json").write_text(text)
    assert constrained(REQUEST, {"json_schema": str(tmp_path / "schema.json")}) == wanted
    monkeypatch.setenv("HOME", str(tmp_path))
    assert constrained(REQUEST, {"json_schema": "~/schema.json"}) == wanted


def test_a_lark_grammar_comes_from_a_file(tmp_path):
    file = tmp_path / "a.lark"
    file.write_text('start: "a"')
    assert constrained(REQUEST, {"lark": str(file)}).lark == 'start: "a"'


def test_a_regular_expression_and_choices_are_taken_as_they_are():
    assert constrained(REQUEST, {"regex": "[ab]", "choice": ()}).regex == "[ab]"
    assert constrained(REQUEST, {"regex": None, "choice": ("a", "b")}).choice == ("a", "b")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"regex": ""}, "--regex: it is empty"),
        ({"regex": "x" * 4097}, "--regex: it is longer than 4096 bytes"),
        ({"regex": "\udcff"}, "--regex: it has half of a surrogate pair at character 0"),
        ({"choice": ("a", "")}, "--choice: it has a text that is empty"),
        ({"choice": ("a",) * 1025}, "--choice: it has 1025 texts"),
        ({"choice": ("\udcff",)}, "--choice: it has half of a surrogate pair"),
        ({"choice": ("a",), "regex": "a"}, "--regex and --choice cannot be given together"),
    ],
)
def test_what_cannot_be_used_is_wrong_usage(given, message):
    with pytest.raises(click.UsageError, match=message):
        constrained(REQUEST, given)


@pytest.mark.parametrize(
    ("content", "grammar_fault", "schema_fault"),
    [
        (b"", "it is empty", "not a JSON object"),
        (b" \n", "it is empty", "not a JSON object"),
        (b"caf\xe9", "is not UTF-8", "is not UTF-8"),
        (b"x" * 65_537, "it is longer than 65536 bytes", "not a JSON object"),
    ],
)
def test_a_file_that_cannot_be_used_is_wrong_usage(content, grammar_fault, schema_fault, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(click.UsageError, match="--grammar-file: .*" + grammar_fault):
        constrained(REQUEST, {"grammar_file": str(file)})
    with pytest.raises(click.UsageError, match="--json-schema: .*" + schema_fault):
        constrained(REQUEST, {"json_schema": str(file)})


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(click.UsageError, match=r"--grammar-file: .* cannot be read"):
            constrained(REQUEST, {"grammar_file": str(path)})
        with pytest.raises(click.UsageError, match=r"--json-schema: .* cannot be read"):
            constrained(REQUEST, {"json_schema": str(path)})


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ('{"type": ', "not a JSON object"),
        ('{"a": NaN}', "not a JSON object"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "not a JSON object|more than 64 levels deep"),
        ('{"a":' * 65 + "1" + "}" * 65, "more than 64 levels deep"),
        ('{"a": "\udcff"}', "not a JSON object"),
        ('{"maximum": 99999999999999999999}', "it has a whole number of more than 64 bits"),
        ('{"const": "' + "x" * 262_144 + '"}', "it is longer than 262144 bytes"),
        ('{"a": {"b": 1}, "c": {"b": 1, "b": 2}}', "'b' stands in one object twice; keep one"),
    ],
    ids=["cut", "nan", "far too deep", "too deep", "no text", "number", "long", "twice"],
)
def test_what_is_no_schema_is_wrong_usage(schema, message):
    with pytest.raises(click.UsageError, match=message):
        constrained(REQUEST, {"json_schema": schema})


def test_a_list_in_a_file_is_no_schema(tmp_path):
    file = tmp_path / "schema.json"
    file.write_text("[1]")
    with pytest.raises(click.UsageError, match="not a JSON object"):
        constrained(REQUEST, {"json_schema": str(file)})


def test_both_together_are_wrong_usage(tmp_path: Path, capsys):
    file = tmp_path / "a.gbnf"
    file.write_text(GRAMMAR)
    args = ["run", "m", "hi", "--grammar-file", str(file), "--json-schema", "{}"]
    assert main(args) == ExitCode.USAGE
    assert "cannot be given together" in capsys.readouterr().err
