# SPDX-License-Identifier: GPL-3.0-only
"""Converts JSON schemas into rules for the JSON texts that conform to them.

Every text that the rules describe conforms to the schema; not every conforming text is described.
Properties come in the schema's order, objects with ``properties`` have no others unless
``additionalProperties`` asks for them, and numbers have a bounded length. What a grammar cannot
express is refused.
"""

from __future__ import annotations

import json

from modeld_llama_cpp.exclusivity import check_exclusive, constants
from modeld_llama_cpp.json_rules import QUOTE, JsonRules
from modeld_llama_cpp.merging import Merger, needs_merging
from modeld_llama_cpp.number_range import Bounds, integers, numbers, read_bounds
from modeld_llama_cpp.object_rules import ObjectRules, Property
from modeld_llama_cpp.pattern import read_pattern
from modeld_llama_cpp.rules import ROOT, Alternative, GrammarError, Ref, Rules, text
from modeld_llama_cpp.schema_text import (
    ANNOTATIONS,
    TYPES,
    Json,
    Schema,
    check_size,
    counts,
    inside,
    list_of,
    meant_types,
    names_of,
    object_of,
    target,
    types_of,
    whole,
)

_DATE = (
    r"[12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    r"|02-(0[1-9]|1[0-9]|2[0-8]))"
)
_HOUR_AND_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_HOUR_AND_MINUTE}:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{_HOUR_AND_MINUTE})"

FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "uuid": "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}
"""The formats that are kept to. The others ask for nothing, as the standard allows."""


def read_schema(schema: Json) -> Rules:
    """The rules for the texts that conform to a schema.

    Raises:
        GrammarError: the schema is none, too large, or asks for what is not supported.
    """
    check_size(schema)
    rules = Rules()
    _Converter(schema, rules).convert()
    return rules


def _is_one_of(value: Json, types: tuple[str, ...]) -> bool:
    match value:
        case bool():
            kinds = {"boolean"}
        case int():
            kinds = {"integer", "number"}
        case float():
            kinds = {"integer", "number"} if value.is_integer() else {"number"}
        case str():
            kinds = {"string"}
        case list():
            kinds = {"array"}
        case dict():
            kinds = {"object"}
        case _:
            kinds = {"null"}
    return not kinds.isdisjoint(types)


class _Converter:
    def __init__(self, root: Json, rules: Rules) -> None:
        self._root = root
        self._rules = rules
        self._json = JsonRules(rules)
        self._merger = Merger(root)
        self._objects = ObjectRules(rules, self._json)
        self._references: dict[str, Ref] = {}
        self._todo: list[tuple[str, Json, str]] = []

    def convert(self) -> None:
        """Define the root, and then what it refers to."""
        self._todo.append((ROOT, self._root, "$"))
        while self._todo:
            name, schema, path = self._todo.pop()
            self._rules.define(name, self.alternatives(schema, path), path)

    def alternatives(self, schema: Json, path: str) -> list[Alternative]:
        """What conforms to a schema."""
        if schema is True:
            return [(self._json.any_value(),)]
        if schema is False:
            raise GrammarError(f"{path}: nothing conforms to `false`")
        flat = self._merger.flat(object_of(schema, path), path)
        if "$ref" in flat:
            return [(self._reference(flat, path),)]
        for keyword in ("anyOf", "oneOf"):
            if keyword in flat:
                return self._union(flat, keyword, path)
        if "const" in flat or "enum" in flat:
            return self._constants(flat, path)
        return self._typed(flat, path)

    def _rule(self, schema: Json, path: str) -> Ref:
        alternatives = self.alternatives(schema, path)
        match alternatives:
            case [(Ref() as only,)]:
                return only
        return self._rules.add(alternatives, path)

    def _reference(self, schema: Schema, path: str) -> Ref:
        """The rule for what is referred to, which is made later: it may refer to itself."""
        reference = schema["$ref"]
        found = target(self._root, reference, f"{path}.$ref")
        assert isinstance(reference, str)
        if reference not in self._references:
            self._references[reference] = Ref(self._rules.name())
            steps = reference.split("/")[1:]
            origin = "$" + "".join(inside("", step) for step in steps)
            self._todo.append((self._references[reference].rule, found, origin))
        return self._references[reference]

    def _union(self, schema: Schema, keyword: str, path: str) -> list[Alternative]:
        place = f"{path}.{keyword}"
        rest = {key: value for key, value in schema.items() if key != keyword}
        branches = list_of(schema[keyword], place)
        if keyword == "oneOf":
            check_exclusive(branches, self._merger, place)
        found: list[Alternative] = []
        for number, branch in enumerate(branches):
            both: Json = {"allOf": [rest, branch]} if needs_merging(rest) else branch
            found += self.alternatives(both, f"{place}[{number}]")
        return found

    def _constants(self, schema: Schema, path: str) -> list[Alternative]:
        """The values of ``const`` or ``enum``, among which only the type may choose."""
        others = [key for key in schema if key not in ANNOTATIONS | {"const", "enum", "type"}]
        others += ["enum"] if "const" in schema and "enum" in schema else []
        if others:
            raise GrammarError(f"{inside(path, others[0])}: not supported beside fixed values")
        types = types_of(schema, path) if "type" in schema else TYPES
        values = constants(schema, path) or []
        fitting = [value for value in values if _is_one_of(value, types)]
        if not fitting:
            raise GrammarError(f"{path}: no value is of the type that is asked for")
        return [text(whole(json.dumps(value, ensure_ascii=False), path)) for value in fitting]

    def _typed(self, schema: Schema, path: str) -> list[Alternative]:
        found: list[Alternative] = []
        kinds = meant_types(schema, path)
        if not kinds:
            return [(self._json.any_value(),)]
        for kind in kinds:
            match kind:
                case "object":
                    found.append(self._object(schema, path))
                case "array":
                    found += self._array(schema, path)
                case "string":
                    found += self._string(schema, path)
                case "integer" | "number":
                    found += self._number(schema, kind, path)
                case "boolean":
                    found += [text("true"), text("false")]
                case _:
                    found.append(text("null"))
        return found

    def _object(self, schema: Schema, path: str) -> Alternative:
        place = f"{path}.properties"
        given = object_of(schema.get("properties", {}), place)
        required = names_of(schema.get("required", []), f"{path}.required")
        closed = "properties" in schema or bool(required)
        other = schema.get("additionalProperties", not closed)
        if not given and not required and other is True:
            return (self._json.any_object(),)
        at_other = f"{path}.additionalProperties"
        other_value = None if other is False else self._rule(other, at_other)
        properties = []
        for name, value in given.items():
            if value is False and name not in required:
                continue
            rule = self._rule(value, inside(place, name))
            properties.append(Property(whole(name, place), rule, name in required))
        for name in dict.fromkeys(required):
            if name not in given:
                if "additionalProperties" in schema and other_value is None:
                    raise GrammarError(f"{path}.required: {name[:80]!a} is no property")
                properties.append(
                    Property(name, other_value or self._json.any_value(), required=True)
                )
        return self._objects.object(properties, other_value, path)

    def _array(self, schema: Schema, path: str) -> list[Alternative]:
        least, most = counts(schema, "minItems", "maxItems", path)
        items, first, place = schema.get("items", True), schema.get("prefixItems"), "prefixItems"
        if isinstance(items, list):
            items, first, place = True, items, "items"
        if first is None:
            if items is False and least:
                raise GrammarError(f"{path}.items: nothing conforms to `false`")
            if items is False:
                most, items = 0, True
            return [self._json.listed(self._rule(items, f"{path}.items"), least, most, path)]
        given = list_of(first, f"{path}.{place}")
        rules = [self._rule(each, f"{path}.{place}[{i}]") for i, each in enumerate(given)]
        more = "items" in schema and not isinstance(schema["items"], list | bool)
        if more or least > len(rules):
            rest: Ref | None = self._rule(items, f"{path}.items")
        else:
            rest = None
        return [self._json.tuple_of(rules, rest, least, most, path)]

    def _string(self, schema: Schema, path: str) -> list[Alternative]:
        least, most = counts(schema, "minLength", "maxLength", path)
        pattern, form = schema.get("pattern"), schema.get("format")
        known = FORMATS.get(form) if isinstance(form, str) else None
        if pattern is None and known is None:
            return [self._json.string(least, most)]
        keyword = "format" if pattern is None else "pattern"
        if not isinstance(pattern or known, str):
            raise GrammarError(f"{path}.pattern: must be a text")
        if least or most is not None or (pattern is not None and known is not None):
            raise GrammarError(
                f"{path}.{keyword}: only one of `pattern`, `format` and bounds of the length is"
                " supported"
            )
        place = f"{path}.{keyword}"
        inner = read_pattern(
            str(pattern or known), self._rules, self._json, place, whole=pattern is None
        )
        return [(*QUOTE, self._rules.add(inner, place), *QUOTE)]

    def _number(self, schema: Schema, kind: str, path: str) -> list[Alternative]:
        bounds = read_bounds(schema, path, whole=kind == "integer")
        if bounds == Bounds():
            return [self._json.integer() if kind == "integer" else self._json.number()]
        if kind == "integer":
            found = list(integers(bounds))
        else:
            found = list(numbers(bounds, self._rules, self._json, path))
        if not found:
            raise GrammarError(f"{path}: there is no {kind} within the bounds")
        return found
