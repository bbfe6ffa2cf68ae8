# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
from random import Random
from typing import Any

import jsonschema
import pytest
from following import compiled, takes, walk
from modeld_llama_cpp.constraints.json_schema.probe import OPTIONS, WHITE_SPACE

from modeld.errors import InvalidRequestError

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
    "a string": ({"type": "string"}, ["", "\"\\/\b\f\n\r\té\U0001f600"]),
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
    "an object that others may not extend": (
        {"type": "object", "unevaluatedProperties": False},
        [{}],
    ),
    "a map with names that are texts": (
        {"propertyNames": {"type": "string"}, "additionalProperties": {"type": "integer"}},
        [{"a": 1}],
    ),
    "a map with listed names": (
        {
            "type": "object",
            "propertyNames": {"enum": ["a", "b", "a"]},
            "additionalProperties": {"type": "integer"},
        },
        [{}, {"a": 1}, {"b": 2}, {"a": 1, "b": 2}],
    ),
    "a map with one name": ({"propertyNames": {"const": "a"}}, [{}, {"a": [1]}]),
    "a map without names": ({"type": "object", "propertyNames": {"enum": [1, None]}}, [{}]),
    "a map with names that are not to be texts": (
        {"type": "object", "propertyNames": {"type": "integer", "enum": ["a", 1]}},
        [{}],
    ),
    "a map with names that are defined elsewhere": (
        {
            "type": "object",
            "propertyNames": {"$ref": "#/$defs/Colour"},
            "additionalProperties": {"type": "integer"},
            "required": ["red"],
            "$defs": {"Colour": {"enum": ["red", "blue"], "title": "Colour", "type": "string"}},
        },
        [{"red": 1}, {"red": 1, "blue": 2}],
    ),
    "a map inside itself": (
        {
            "propertyNames": {"enum": ["a", "b"]},
            "additionalProperties": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        },
        [{}, {"a": None}, {"b": {"a": None}}],
    ),
    "listed names beside named properties": (
        {
            "type": "object",
            "properties": {"a": {"const": 1}, "c": {"const": 3}},
            "propertyNames": {"enum": ["a", "b"]},
            "additionalProperties": {"const": 2},
            "required": ["b"],
        },
        [{"b": 2}, {"a": 1, "b": 2}],
    ),
    "listed names beside another schema": (
        {
            "type": "object",
            "allOf": [{"propertyNames": {"enum": ["a", "b"]}}],
            "propertyNames": {"enum": ["b", "c"]},
        },
        [{}, {"b": 1}],
    ),
    "a property called propertyNames": (
        {"properties": {"propertyNames": {"enum": ["a"]}}},
        [{}, {"propertyNames": "a"}],
    ),
    "one property at least": (
        {"properties": {"a": {"const": 1}, "b": {"const": 2}}, "minProperties": 1},
        [{"a": 1}, {"b": 2}, {"a": 1, "b": 2}],
    ),
    "one property at most": (
        {"properties": {"a": {"const": 1}, "b": {"const": 2}}, "maxProperties": 1},
        [{}, {"a": 1}, {"b": 2}],
    ),
    "a small map": (
        {"additionalProperties": {"type": "null"}, "minProperties": 1, "maxProperties": 2},
        [{"a": None}, {"a": None, "b": None}],
    ),
    "properties by pattern": (
        {
            "type": "object",
            "properties": {"ab": {"type": "integer"}},
            "patternProperties": {"^a": {"maximum": 5}, "^b": {"type": "null"}},
        },
        [{"ab": 5}, {"ab": 1, "a": 2, "b": None}],
    ),
    "a format with a length": (
        {"type": "string", "format": "uri", "minLength": 1, "maxLength": 2083},
        ["https://example.com/a?b#c"],
    ),
    "a date with a pattern": (
        {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        ["2024-02-28"],
    ),
    "a fraction as a bound": ({"type": "number", "minimum": 0.5, "maximum": 1}, [0.5, 0.75, 1]),
    "a pattern with lengths": (
        {"type": "string", "pattern": "^[A-Z]{2}$", "minLength": 2, "maxLength": 2},
        ["AB"],
    ),
    "multiples": ({"type": "integer", "multipleOf": 3, "minimum": 0}, [0, 3, 12]),
    "one of, by what is required": (
        {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}},
         "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        [{"a": 1}, {"b": 2}],
    ),
    "one of, some with a value": (
        {
            "type": "object",
            "properties": {"action": {"type": "string"}},
            "required": ["action"],
            "oneOf": [
                {
                    "properties": {"action": {"const": "go"}, "to": {"type": "string"}},
                    "required": ["to"],
                },
                {"properties": {"action": {"const": "stop"}}},
            ],
        },
        [{"action": "go", "to": "x"}, {"action": "stop"}],
    ),
    "one of, by pattern": (
        {"type": "string", "oneOf": [{"pattern": "^https?://"}, {"pattern": "^[.]/"}]},
        ["http://x", "./y"],
    ),
    "not without a property": (
        {"type": "object", "properties": {"a": True, "b": True}, "not": {"required": ["a", "b"]}},
        [{"a": 1}, {"b": 1}, {}],
    ),
    "what properties need": (
        {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}},
         "dependentRequired": {"a": ["b"]}},
        [{}, {"b": 2}, {"a": 1, "b": 2}],
    ),
    "an optional property that never ends": (
        {
            "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"const": 1}},
            "$defs": {
                "a": {
                    "type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"],
                }
            },
        },
        [{}, {"b": 1}],
    ),
    "a draft of long ago": (
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "id": "http://example.com/x",
            "items": [{"type": "integer", "minimum": 0, "exclusiveMinimum": True}],
            "additionalItems": False,
        },
        [[1], []],
    ),
}  # fmt: skip


FAULTS: dict[str, tuple[Any, str]] = {
    "no schema": (1, "$: must be an object"),
    "a list": ([], "$: must be an object"),
    "nothing": (False, "$: no value conforms"),
    "an unknown type": ({"type": "int"}, "$.type: 'int' is none of object, array"),
    "no type": ({"type": []}, "$.type: the list is empty"),
    "a type that is no text": ({"type": 5}, "$.type: must be a list of texts"),
    "a huge array": (
        {"type": "array", "minItems": 10**6},
        "$.minItems: 1e+06 items are too many; at most 4000 are counted",
    ),
    "a negative length": (
        {"type": "string", "minLength": -1},
        "$.minLength: must be a whole number from 0 on",
    ),
    "a length of half": (
        {"properties": {"a": {"type": "string", "minLength": 0.5}}},
        "$.properties.a.minLength: must be a whole number from 0 on",
    ),
    "lengths the wrong way": (
        {"type": "string", "minLength": 3, "maxLength": 2},
        "$.maxLength: 2 is less than `minLength`, which is 3",
    ),
    "numbers of items the wrong way": (
        {"type": "array", "minItems": 3, "maxItems": 2},
        "$.maxItems: 2 is less than `minItems`, which is 3",
    ),
    "no number in between": (
        {"type": "integer", "minimum": 3, "maximum": 2},
        "$.maximum: 2 is less than `minimum`, which is 3",
    ),
    "a bound that is no number": ({"minimum": "1"}, "$.minimum: must be a number"),
    "a bound far away": (
        {"maximum": 10**20},
        "$.maximum: bounds must be nearer to 0 than 1e+18",
    ),
    "a bound that doubles do not keep": (
        {"maximum": 2**53 + 1},
        "$.maximum: 9007199254740993 has more digits than a double keeps",
    ),
    "a pattern that is no text": ({"type": "string", "pattern": 1}, "$.pattern: must be a text"),
    "a bad pattern": (
        {"properties": {"a-b": {"type": "string", "pattern": "("}}},
        "$.properties['a-b'].pattern: a `)` is missing, at character 2",
    ),
    "a remote reference": (
        {"items": {"$ref": "https://example.com/schema.json"}},
        "$.items.$ref: only references inside the schema (`#/…`) are supported",
    ),
    "a reference to a file": ({"$ref": "file:///etc/passwd"}, "$.$ref: only references inside"),
    "a reference to nothing": ({"$ref": "#/$defs/x"}, "$.$ref: there is nothing at '#/$defs/x'"),
    "a reference to no schema": ({"$ref": "#/title", "title": "x"}, "$.title: must be an object"),
    "a reference to itself": ({"$ref": "#"}, "references lead to references without end"),
    "references in a circle": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        "references lead to references without end",
    ),
    "a tree without leaves": (
        {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        "$: no value conforms that comes to an end",
    ),
    "one of that may be two": (
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        "$.oneOf: $.oneOf[0] may hold together with $.oneOf[1]; use `anyOf`",
    ),
    "an empty choice": ({"anyOf": []}, "$.anyOf: must be a list that is not empty"),
    "an empty enumeration": ({"enum": []}, "$.enum: must be a list that is not empty"),
    "no value of the type": ({"type": "null", "enum": [1]}, "$: no type is all that is asked for"),
    "values beside what is in them": (
        {"enum": [[1]], "items": {"type": "null"}},
        "$: Unsatisfiable schema",
    ),
    "a constant with a lone surrogate": ({"const": "\ud800"}, "$.const: a text has half of a"),
    "a constant with a control character": (
        {"items": {"enum": ["a", "\x01"]}},
        "$.items.enum: a text has a control character",
    ),
    "a constant that doubles do not keep": ({"const": 2**60 + 1}, "$.const: 1152921504606846977"),
    "a name with a lone surrogate": (
        {"properties": {"\ud800": {}}},
        "$.properties: a text has half of a surrogate pair",
    ),
    "types that exclude each other": (
        {"type": "string", "allOf": [{"type": "null"}]},
        "$: no type is all that is asked for",
    ),
    "enumerations that exclude each other": (
        {"allOf": [{"enum": [1]}, {"enum": [True]}]},
        "$: no type is all that is asked for",
    ),
    "a required property that may not be": (
        {"properties": {"a": {}}, "required": ["b"], "additionalProperties": False},
        "$: Unsatisfiable schema: required property 'b' is unsatisfiable",
    ),
    "a required property that is false": (
        {"properties": {"a": False}, "required": ["a"]},
        "$: no value conforms",
    ),
    "required that is no list": ({"type": "object", "required": "a"}, "$.required: must be a list"),
    "unique items": (
        {"properties": {"a": {"type": "array", "uniqueItems": True}}},
        "$.properties.a.uniqueItems: this keyword is supported only where there is at most",
    ),
    "items that must be there": (
        {"contains": {}},
        "$.contains: this keyword is supported only where",
    ),
    "dynamic references": (
        {"items": {"$dynamicRef": "#x"}},
        "$.items.$dynamicRef: this keyword is supported nowhere",
    ),
    "a type that must not be": ({"not": {"type": "null"}}, "$.not: only `required` is supported"),
    "a pattern that must not match": (
        {"items": {"type": "string", "not": {"pattern": "^a"}}},
        "$.items.not: only `required` is supported inside of `not`",
    ),
    "a condition": (
        {"properties": {"a": {"if": {"type": "null"}, "then": {}, "else": False}}},
        "$.properties.a.if: this keyword is supported only where neither `then` nor `else`",
    ),
    "names of a pattern": (
        {"items": {"propertyNames": {"pattern": "^[a-c]+$"}}},
        "$.items.propertyNames: this keyword is supported only where it lists names",
    ),
    "listed names beside patterns": (
        {"propertyNames": {"enum": ["a"]}, "patternProperties": {"^a": {}}},
        "$.propertyNames: this keyword is supported only where it lists names",
    ),
    "listed names beside another keyword about them": (
        {"propertyNames": {"enum": ["a", "b"], "maxLength": 1}},
        "$.propertyNames: this keyword is supported only where it lists names",
    ),
    "listed names beside what nothing evaluates": (
        {"propertyNames": {"enum": ["a"]}, "unevaluatedProperties": False},
        "$.propertyNames: this keyword is supported only where it lists names",
    ),
    "a required property whose name is not listed": (
        {"type": "object", "propertyNames": {"enum": ["a"]}, "required": ["b"]},
        "$: Unsatisfiable schema: required property 'b' is unsatisfiable",
    ),
    "names that are an empty list": (
        {"propertyNames": {"enum": []}},
        "$.propertyNames.enum: must be a list that is not empty",
    ),
    "unevaluated properties beside a choice": (
        {"anyOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False},
        "$.unevaluatedProperties: this keyword is supported with `false` where nothing else",
    ),
    "unevaluated items beside a choice": (
        {"allOf": [{"prefixItems": [{}]}], "unevaluatedItems": False},
        "$.unevaluatedItems: this keyword is supported with `false` where nothing else",
    ),
    "a reference to an anchor": (
        {"$ref": "#here", "$defs": {"a": {"$anchor": "here"}}},
        "$.$ref: only references inside the schema (`#/…`) are supported",
    ),
    "a reference behind another address": (
        {"items": {"$id": "item", "properties": {"a": {"$ref": "#/$defs/b"}}}, "$defs": {"b": {}}},
        "$.items.properties.a.$ref: only references inside the schema (`#/…`) are supported, and",
    ),
    "one of, by a value": (
        {"oneOf": [{"type": "string"}, {"const": "a"}]},
        "$.oneOf: $.oneOf[0] may hold together with $.oneOf[1]; use `anyOf`",
    ),
    "names that might repeat": (
        {"type": "object", "minProperties": 2, "additionalProperties": {}},
        "$.minProperties: 2 is more than the required ones, and names might repeat",
    ),
    "many properties at least": (
        {"properties": {"a": {}, "b": {}}, "minProperties": 1, "additionalProperties": True},
        "$.minProperties: not supported beside properties that are optional",
    ),
    "a few properties at most": (
        {"properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 2},
        "$.maxProperties: not supported beside properties that are optional",
    ),
    "names that match two patterns": (
        {"items": {"patternProperties": {"^a": {}, "b$": {}}}},
        "$.items.patternProperties.b$: a name may match '^a' too",
    ),
    "two multiples": (
        {"multipleOf": 2, "allOf": [{"multipleOf": 3}]},
        "multipleOf: not supported together with another one",
    ),
    "options of llguidance": (
        {"type": "object", "x-guidance": {"lenient": True}},
        "$['x-guidance']: options of llguidance are not taken from a schema",
    ),
    "depth": (
        json.loads('{"items":' * 70 + "{}" + "}" * 70),
        "$: more than 64 objects and arrays inside one another",
    ),
    "many nodes": (
        {"anyOf": [{}] * 20_001},
        "$: more than 20000 objects and arrays",
    ),
}


def spaced(value: object) -> list[str]:
    return [json.dumps(value, ensure_ascii=False, separators=s) for s in ((",", ":"), (", ", ": "))]


@pytest.mark.parametrize("name", SCHEMAS)
def test_texts_conform_to_their_schema(name: str) -> None:
    schema, _ = SCHEMAS[name]
    grammar = compiled("json_schema", schema)
    validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    texts = {walk(grammar, Random(seed), 300) for seed in range(40)} - {None}
    assert texts
    for text in texts:
        assert text is not None
        validator.validate(json.loads(text))


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_one_would_expect_can_be_written(name: str) -> None:
    schema, values = SCHEMAS[name]
    grammar = compiled("json_schema", schema)
    for value in values:
        assert any(takes(grammar, text) for text in spaced(value)), value


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_kept_is_refused_with_its_path(name: str) -> None:
    schema, problem = FAULTS[name]
    with pytest.raises(InvalidRequestError) as failure:
        compiled("json_schema", schema)
    assert problem in str(failure.value)
    assert failure.value.field == "json_schema"


def test_indentation_is_allowed_but_not_without_end() -> None:
    grammar = compiled("json_schema", SCHEMAS["a tree"][0])
    tree = SCHEMAS["a tree"][1][0]
    assert takes(grammar, json.dumps(tree, indent=2))
    assert not takes(grammar, json.dumps(tree, indent=30))
    assert not takes(grammar, json.dumps(tree).replace(" ", "  "))
    assert not takes(grammar, json.dumps(tree) + "\n")
    assert OPTIONS["whitespace_pattern"] == WHITE_SPACE


def test_objects_that_name_properties_have_no_others() -> None:
    schema = {"properties": {"a": {"type": "integer"}}}
    assert not takes(compiled("json_schema", schema), '{"b": 1}')
    assert takes(compiled("json_schema", schema | {"additionalProperties": True}), '{"b": 1}')


def test_a_name_is_not_written_a_second_time_in_disguise() -> None:
    schema = {"properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}}
    grammar = compiled("json_schema", schema)
    assert takes(grammar, '{"a": 1, "b": "x"}')
    assert not takes(grammar, r'{"a": 1, "\u0061": "x"}')


def test_a_schema_that_names_no_type_is_for_those_that_its_keywords_are_about() -> None:
    assert not takes(compiled("json_schema", {"properties": {"a": {}}}), "1")
    assert not takes(compiled("json_schema", {"minLength": 2}), "1")
    assert takes(compiled("json_schema", {"title": "x"}), "1")


def test_a_schema_keeps_the_order_of_its_properties() -> None:
    grammar = compiled("json_schema", {"properties": {"b": {}, "a": {}}, "required": ["a", "b"]})
    assert takes(grammar, '{"b": 1, "a": 2}')
    assert not takes(grammar, '{"a": 2, "b": 1}')


def test_branches_that_exclude_each_other_only_by_a_format_are_refused() -> None:
    schema = {"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "ipv4"}]}
    with pytest.raises(InvalidRequestError, match="may hold together"):
        compiled("json_schema", schema)


def test_a_property_conforms_to_its_name_and_to_its_pattern() -> None:
    schema = {
        "properties": {"ab": {"type": "integer"}},
        "patternProperties": {"^a": {"maximum": 5}},
    }
    grammar = compiled("json_schema", schema)
    assert takes(grammar, '{"ab": 5}')
    assert not takes(grammar, '{"ab": 6}')


def test_a_choice_of_itself_is_one_of_the_others() -> None:
    grammar = compiled("json_schema", {"anyOf": [{"$ref": "#"}, {"type": "null"}]})
    assert takes(grammar, "null")
    assert not takes(grammar, "1")
