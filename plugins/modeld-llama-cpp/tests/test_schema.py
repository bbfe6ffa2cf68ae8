# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
from random import Random
from typing import Any

import jsonschema
import pytest
from grammar_texts import Texts, describes
from modeld_llama_cpp.grammar_check import checked
from modeld_llama_cpp.rules import GrammarError, Rules
from modeld_llama_cpp.schema import read_schema

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
    "required": ["value", "children"],
    "additionalProperties": False,
}
OPERATION = {
    "type": "object",
    "properties": {"left": {"$ref": "#/$defs/e"}, "right": {"$ref": "#/$defs/e"}},
    "required": ["left", "right"],
}

SCHEMAS: dict[str, tuple[Any, list[Any]]] = {
    "anything": ({}, [None, True, 1.5, "x", [1, {}], {"a": []}]),
    "anything, annotated": ({"title": "x", "x-order": 1}, [None]),
    "any object": ({"type": "object"}, [{}, {"a": {"b": 1}}]),
    "any array": ({"type": "array"}, [[], [1, "a"]]),
    "a string": ({"type": "string"}, ["", "\"\\/\b\f\n\r\té\U0001f600", "\0"]),
    "a short string": ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "é\U0001f600x"]),
    "a long string": ({"type": "string", "maxLength": 2000}, ["", "x" * 2000]),
    "an empty string": ({"type": "string", "maxLength": 0}, [""]),
    "a number": ({"type": "number"}, [0, -1, 1.5, 1e10, -0.25]),
    "an integer": ({"type": "integer"}, [0, -1, 1234567890123456]),
    "a probability": ({"type": "number", "minimum": 0, "maximum": 1}, [0, 0.5, 1]),
    "an age": ({"type": "integer", "minimum": 0, "exclusiveMaximum": 150}, [0, 149]),
    "a boolean": ({"type": "boolean"}, [True, False]),
    "null": ({"type": "null"}, [None]),
    "some types": ({"type": ["string", "null", "integer"]}, ["a", None, 1]),
    "numbers twice": ({"type": ["integer", "number"]}, [1, 1.5]),
    "a hint of a type": ({"minimum": 3, "minLength": 2}, [3, "ab"]),
    "constants": ({"enum": ["a", "ab", 1, None, [1, "b"], {"c": 'd"\n'}]}, ["ab", [1, "b"]]),
    "constants of a type": ({"type": "integer", "enum": ["a", 1, 2.0, True]}, [1]),
    "a constant": ({"const": {"a": [1, 2]}}, [{"a": [1, 2]}]),
    "a date": ({"type": "string", "format": "date"}, ["2024-02-28", "1999-12-31"]),
    "a time": ({"type": "string", "format": "date-time"}, ["2024-02-28T23:59:59.5Z"]),
    "a uuid": ({"type": "string", "format": "uuid"}, ["00000000-0000-4000-8000-0123456789ab"]),
    "an unknown format": ({"type": "string", "format": "colour"}, ["red"]),
    "a pattern": ({"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"}, ["AB12"]),
    "properties": (
        {
            "type": "object",
            "properties": {
                "a": {"type": "integer"}, "b": {"type": "string"},
                "ab": {"type": "null"}, "": {"type": "boolean"},
            },
            "required": ["b"],
        },
        [{"b": "x"}, {"a": 1, "b": "x"}, {"b": "", "": True}, {"a": 1, "b": "", "ab": None}],
    ),
    "only optional properties": (
        {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}},
        [{}, {"a": None}, {"b": None}, {"a": None, "b": None}],
    ),
    "many optional properties": (
        {"type": "object", "properties": {f"{i}_name": {"type": "null"} for i in range(100)}},
        [{}, {"99_name": None}, {"0_name": None, "50_name": None}],
    ),
    "no properties": ({"type": "object", "properties": {}}, [{}]),
    "a forbidden property": (
        {"type": "object", "properties": {"a": False, "b": True}},
        [{}, {"b": 1}],
    ),
    "names that need escapes": (
        {"type": "object", "properties": {'"\\\n\0': {"const": 1}}, "required": ['"\\\n\0']},
        [{'"\\\n\0': 1}],
    ),
    "other properties": (
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "abc": {"type": "string"}},
            "required": ["abc"],
            "additionalProperties": {"type": "boolean"},
        },
        [{"abc": ""}, {"abc": "", "ab": True}, {"a": 1, "abc": "", "": True, "x": False}],
    ),
    "a map": (
        {"type": "object", "additionalProperties": {"type": "integer"}},
        [{}, {"a": 1}, {"": 1, "b": 2}],
    ),
    "required without properties": ({"type": "object", "required": ["x"]}, [{"x": [1]}]),
    "required others": (
        {"properties": {"a": {}}, "required": ["x"], "additionalProperties": {"type": "null"}},
        [{"x": None}, {"a": 1, "x": None}],
    ),
    "items": ({"type": "array", "items": {"type": "integer"}}, [[], [1], [1, 2, 3]]),
    "some items": (
        {"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 3},
        [[None], [None, None, None]],
    ),
    "exactly two items": ({"items": {"const": 1}, "minItems": 2, "maxItems": 2}, [[1, 1]]),
    "one item": ({"items": {"const": 1}, "minItems": 1, "maxItems": 1}, [[1]]),
    "at most one item": ({"items": {"const": 1}, "maxItems": 1}, [[], [1]]),
    "no items": ({"type": "array", "maxItems": 0}, [[]]),
    "items that cannot be": ({"type": "array", "items": False}, [[]]),
    "a tuple": (
        {"prefixItems": [{"const": 1}, {"const": "x"}], "minItems": 2, "maxItems": 2},
        [[1, "x"]],
    ),
    "the start of a tuple": (
        {"prefixItems": [{"const": 1}, {"const": 2}, {"const": 3}], "minItems": 1},
        [[1], [1, 2], [1, 2, 3]],
    ),
    "a tuple and more": (
        {"prefixItems": [{"const": 1}], "items": {"const": 2}, "maxItems": 3},
        [[], [1], [1, 2], [1, 2, 2]],
    ),
    "a tuple with at least more": (
        {"prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 3},
        [[1, 2, 2], [1, 2, 2, 2]],
    ),
    "any of": ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, ["a", 1]),
    "any of beside more": (
        {
            "type": "object",
            "properties": {"k": {"type": "string"}},
            "required": ["k"],
            "anyOf": [
                {"properties": {"a": {"const": 1}}, "required": ["a"]},
                {"properties": {"b": {"const": 2}}, "required": ["b"]},
            ],
        },
        [{"k": "", "a": 1}, {"k": "", "b": 2}],
    ),
    "any of objects that begin alike": (
        {
            "anyOf": [
                {"properties": {"a": {}}, "required": ["a"]},
                {"properties": {"a": {}, "b": {"type": "null"}}, "required": ["a", "b"]},
            ]
        },
        [{"a": {"x": [1]}}, {"a": [], "b": None}],
    ),
    "one of, by type": ({"oneOf": [{"type": "string"}, {"type": "null"}]}, ["a", None]),
    "one of, by constant": (
        {
            "oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}],
            "discriminator": {"propertyName": "kind"},
            "$defs": {
                "cat": {"properties": {"kind": {"const": "cat"}}, "required": ["kind"]},
                "dog": {"properties": {"kind": {"enum": ["dog", "wolf"]}}, "required": ["kind"]},
            },
        },
        [{"kind": "cat"}, {"kind": "wolf"}],
    ),
    "all of": (
        {
            "allOf": [
                {"properties": {"a": {"type": "number", "minimum": 1}}, "required": ["a"]},
                {"properties": {"a": {"type": "integer", "maximum": 3}, "b": {}}},
            ]
        },
        [{"a": 1}, {"a": 3, "b": None}],
    ),
    "all of, constants": (
        {
            "type": ["string", "null"], "enum": ["a", "b", None],
            "allOf": [{"enum": ["b", "c", None]}, {"type": "string"}],
        },
        ["b"],
    ),
    "a reference with annotations": (
        {
            "properties": {"a": {"$ref": "#/definitions/x~1y", "description": "…", "default": 1}},
            "definitions": {"x/y": {"type": "integer"}},
        },
        [{"a": 1}],
    ),
    "a reference with more": (
        {"$ref": "#/$defs/a%20b", "minimum": 5, "$defs": {"a b": {"type": "integer"}}},
        [5, 600],
    ),
    "a reference to a place in a list": (
        {"anyOf": [{"type": "null"}, {"items": {"$ref": "#/anyOf/0"}, "type": "array"}]},
        [None, [None]],
    ),
    "references to references": (
        {
            "$ref": "#/$defs/a0",
            "$defs": {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(60)}
            | {"a60": {"type": "null"}},
        },
        [None],
    ),
    "a tree": (
        {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
        [{"value": 1, "children": [{"value": 2, "children": []}]}],
    ),
    "a tree from the root": (
        {
            "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "required": ["next"],
        },
        [{"next": {"next": None}}],
    ),
    "a language": (
        {
            "$ref": "#/$defs/e",
            "$defs": {
                "e": {
                    "anyOf": [
                        {"type": "number"},
                        *(
                            {
                                "type": "object",
                                "properties": {"op": {"const": op}} | OPERATION["properties"],
                                "required": ["op", "left", "right"],
                            }
                            for op in ("add", "mul", "modulo")
                        ),
                    ]
                }
            },
        },
        [{"op": "add", "left": 1, "right": {"op": "mul", "left": 1, "right": 2}}],
    ),
    "harmless keywords": (
        {"type": "array", "uniqueItems": False, "unevaluatedItems": False, "items": {"const": 1}},
        [[1, 1]],
    ),
}  # fmt: skip

FAULTS: dict[str, tuple[Any, str]] = {
    "no schema": (1, "$: must be an object"),
    "a list": ([], "$: must be an object"),
    "nothing": (False, "$: nothing conforms to `false`"),
    "an unknown type": ({"type": "int"}, "$.type: 'int' is none of object, array"),
    "no type": ({"type": []}, "$.type: the list is empty"),
    "a type that is no text": ({"type": 5}, "$.type: must be a list of texts"),
    "a huge length": (
        {"properties": {"a": {"type": "string", "maxLength": 1e9}}},
        "$.properties.a.maxLength: 1e+09 is more than 2000",
    ),
    "a huge array": ({"type": "array", "minItems": 10**6}, "$.minItems: 1e+06 is more than 2000"),
    "a negative length": (
        {"type": "string", "minLength": -1},
        "$.minLength: must be a number from",
    ),
    "a length of half": (
        {"type": "string", "minLength": 0.5},
        "$.minLength: must be a number from",
    ),
    "lengths the wrong way": (
        {"type": "string", "minLength": 3, "maxLength": 2},
        "$.maxLength: 2 is less than `minLength`, which is 3",
    ),
    "no number in between": ({"type": "integer", "minimum": 3, "maximum": 2}, "no integer within"),
    "a pattern with a length": (
        {"type": "string", "pattern": "a", "maxLength": 2},
        "$.pattern: only one of `pattern`, `format` and bounds of the length is supported",
    ),
    "a pattern that is no text": ({"type": "string", "pattern": 1}, "$.pattern: must be a text"),
    "a bad pattern": (
        {"properties": {"a-b": {"type": "string", "pattern": "("}}},
        "$.properties['a-b'].pattern: a `)` is missing",
    ),
    "a remote reference": (
        {"items": {"$ref": "https://example.com/schema.json"}},
        "$.items.$ref: only references inside the schema (`#/…`) are supported",
    ),
    "a reference to a file": ({"$ref": "file:///etc/passwd"}, "$.$ref: only references inside"),
    "a reference to nothing": ({"$ref": "#/$defs/x"}, "$.$ref: there is nothing at '#/$defs/x'"),
    "a reference to no schema": ({"$ref": "#/title", "title": "x"}, "$.title: must be an object"),
    "a reference to itself": ({"$ref": "#"}, "$ never comes to an end"),
    "references in a circle": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        "never comes to an end",
    ),
    "merged references in a circle": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"minimum": 1, "$ref": "#/$defs/a"}}},
        "references lead to references without end",
    ),
    "a choice of itself": ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "begins with itself"),
    "a tree without leaves": (
        {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        "$ never comes to an end",
    ),
    "a language that tells late": (
        {
            "$ref": "#/$defs/e",
            "$defs": {
                "e": {
                    "anyOf": [
                        {"type": "number"},
                        OPERATION,
                        OPERATION | {"properties": OPERATION["properties"] | {"op": {"const": 1}}},
                    ]
                }
            },
        },
        "from $.$defs.e on, one text can be read in too many ways",
    ),
    "one of that may be two": (
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        "$.oneOf[1]: may hold together with another one; use `anyOf`",
    ),
    "an empty choice": ({"anyOf": []}, "$.anyOf: must be a list that is not empty"),
    "an empty enumeration": ({"enum": []}, "$.enum: must be a list that is not empty"),
    "no value of the type": ({"type": "null", "enum": [1]}, "$: no value is of the type"),
    "constants and bounds": ({"enum": [1], "minimum": 0}, "$.minimum: not supported beside fixed"),
    "a constant with a lone surrogate": ({"const": "\ud800"}, "half of a surrogate pair"),
    "a name with a lone surrogate": (
        {"properties": {"\ud800": {}}},
        "$.properties: a text has half of a surrogate pair",
    ),
    "types that exclude each other": (
        {"type": "string", "allOf": [{"type": "null"}]},
        "$.allOf[0].type: no type is among all that are asked for",
    ),
    "enumerations that exclude each other": (
        {"allOf": [{"enum": [1]}, {"enum": [True]}]},
        "$.allOf[1].enum: no value is among all that are asked for",
    ),
    "two patterns": (
        {"type": "string", "pattern": "a", "allOf": [{"pattern": "b"}]},
        "$.allOf[0].pattern: cannot hold together with another",
    ),
    "additions to what is closed": (
        {
            "allOf": [
                {"properties": {"a": {}}, "additionalProperties": False},
                {"properties": {"b": {}}},
            ]
        },
        "$.allOf[1]: adds properties to what has `additionalProperties` of its own",
    ),
    "a required property that may not be": (
        {"properties": {"a": {}}, "required": ["b"], "additionalProperties": False},
        "$.required: 'b' is no property",
    ),
    "a required property that is false": (
        {"properties": {"a": False}, "required": ["a"]},
        "$.properties.a: nothing conforms to `false`",
    ),
    "required that is no list": ({"type": "object", "required": "a"}, "$.required: must be a list"),
    "unique items": ({"type": "array", "uniqueItems": True}, "$.uniqueItems: this keyword is not"),
    "multiples": ({"type": "integer", "multipleOf": 3}, "$.multipleOf: this keyword is not"),
    "not": ({"not": {"type": "null"}}, "$.not: this keyword is not supported"),
    "conditions": ({"if": {}, "then": {}}, "this keyword is not supported"),
    "name patterns": (
        {"items": {"type": "object", "patternProperties": {}}},
        "$.items.patternProperties: this keyword is not supported",
    ),
    "depth": (
        json.loads('{"items":' * 40 + "{}" + "}" * 40),
        "$: more than 32 objects and arrays inside one another",
    ),
    "many nodes": (
        {"anyOf": [{"const": number} for number in range(2001)]},
        "$: more than 2000 objects and arrays",
    ),
    "much repetition": (
        {"properties": {f"p{i}": {"type": "string", "maxLength": 2000 - i} for i in range(20)}},
        "more than 20000 elements",
    ),
    "many ways to begin": (
        {"enum": [chr(0x4E00 + i) + chr(0x5E00 + i) for i in range(300)]},
        "$ can go on in 300 ways at one place; at most 128 are allowed",
    ),
}


def rules_of(schema: Any) -> Rules:
    rules = read_schema(schema)
    checked(rules)
    return rules


def _spaced(value: object) -> list[str]:
    return [json.dumps(value, ensure_ascii=False, separators=s) for s in ((",", ":"), (", ", ": "))]


@pytest.mark.parametrize("name", SCHEMAS)
def test_texts_conform_to_their_schema(name: str) -> None:
    schema, _ = SCHEMAS[name]
    rules = rules_of(schema)
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    texts = {Texts(rules, Random(seed)).make() for seed in range(100)}
    for text in texts:
        validator.validate(json.loads(text))
        text.encode()


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_one_would_expect_can_be_written(name: str) -> None:
    schema, values = SCHEMAS[name]
    rules = rules_of(schema)
    for value in values:
        assert any(describes(rules, text) for text in _spaced(value)), value


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_kept_is_refused_with_its_place(name: str) -> None:
    schema, problem = FAULTS[name]
    with pytest.raises(GrammarError) as failure:
        rules_of(schema)
    assert problem in str(failure.value)


def test_indentation_is_allowed() -> None:
    rules = rules_of(SCHEMAS["a tree"][0])
    assert describes(rules, json.dumps(SCHEMAS["a tree"][1][0], indent=2))
