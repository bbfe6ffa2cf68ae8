# SPDX-License-Identifier: GPL-3.0-only
"""Writes schemas of requests with the keywords that llguidance implements.

What is written means the same or less: every text that conforms to it conforms to the schema that
was given. What cannot be written so is refused with its path.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from modeld_llama_cpp.constraints.json_schema.definitions import (
    check_depth,
    endless,
    needed,
    reference,
    severed,
)
from modeld_llama_cpp.constraints.json_schema.json_types import ALL_TYPES, types_in
from modeld_llama_cpp.constraints.json_schema.one_of import Exclusion
from modeld_llama_cpp.constraints.json_schema.outline import (
    Names,
    Outline,
    Outlines,
)
from modeld_llama_cpp.constraints.json_schema.plain import Plain
from modeld_llama_cpp.constraints.json_schema.property_names import spelled_out
from modeld_llama_cpp.constraints.json_schema.references import (
    References,
    Target,
    is_reference,
)
from modeld_llama_cpp.constraints.json_schema.schema_text import (
    Json,
    Schema,
    check_size,
    names_of,
    object_of,
)
from modeld_llama_cpp.constraints.problem import ConstraintError

MAX_WRITTEN = 5_000
"""How many schemas may be written, once choices and references are laid out."""

MAX_NESTED = 60
"""How deep schemas may be inside one another, once choices are laid out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is known around a schema about the value that it describes.

    ``closing`` has the properties that are named besides, if no others are to be; ``typed`` tells
    that its types are known; ``doubled`` are the properties that several schemas describe;
    ``context`` is what else is written to hold.
    """

    closing: Names | None = None
    typed: bool = False
    doubled: frozenset[str | None] = frozenset()
    context: tuple[Json, ...] = ()


CLOSED = Around(closing=Names())
OPEN = Around(typed=True)


class SchemaWriter:
    """Writes one schema."""

    def __init__(self, root: Json) -> None:
        if not isinstance(root, bool | dict):
            raise ConstraintError("$: must be an object")
        if isinstance(root, dict):
            check_size(root)
        self._root = Target(schema=root, path="$")
        self._references = References(root)
        self._outlines = Outlines(self._references)
        self._plain = Plain(self._value)
        self._exclusion = Exclusion(self._references, self._outlines, self._definitions_of)
        self._names: dict[tuple[int, bool, bool], tuple[str, Target]] = {}
        self._definitions: Schema = {}
        self._todo: list[tuple[str, Target, Around]] = []
        self._written = 0
        self._nested = 0
        self._reason = ""

    def write(self) -> tuple[Schema, list[str]]:
        """Return the schema of the whole text, and the path of each definition that it has.

        Raises:
            ConstraintError: the schema is none, or asks for what cannot be kept to.
        """
        found = self._schema(self._root, CLOSED)
        while self._todo:
            name, target, around = self._todo.pop()
            if name not in self._definitions:
                self._definitions[name] = self._laid_out(target, around)
        paths = [target.path for _, target in self._names.values()]
        definitions = needed(found, self._definitions)
        check_depth(definitions)
        dead = endless(definitions | {"": found})
        if "" in dead:
            raise ConstraintError(self._reason or "$: no value conforms that comes to an end")
        whole = severed(found, dead)
        kept = {name: severed(each, dead) for name, each in definitions.items()}
        return ({} if whole is True else whole) | ({"$defs": kept} if kept else {}), paths

    def _value(self, target: Target, *, closed: bool) -> Json:
        """Write the schema of another value inside this one."""
        return self._schema(target, CLOSED if closed else OPEN)

    def _schema(self, target: Target, around: Around) -> Json:
        self._written += 1
        if self._written > MAX_WRITTEN:
            raise ConstraintError(f"{target.path}: more than {MAX_WRITTEN} schemas once laid out")
        if isinstance(target.schema, dict) and is_reference(target.schema):
            target = self._references.last(target)
            plain = replace(around, context=())
            if plain in (CLOSED, OPEN) and not isinstance(target.schema, bool):
                return self._definition(target, plain)
        if isinstance(target.schema, bool):
            return target.schema
        object_of(target.schema, target.path)
        if self._nested >= MAX_NESTED:
            raise ConstraintError(
                f"{target.path}: more than {MAX_NESTED} schemas inside one another"
            )
        self._nested += 1
        try:
            return self._laid_out(target, around)
        finally:
            self._nested -= 1

    def _definition(self, target: Target, around: Around) -> Json:
        """Return a reference to a schema that is written later: it may refer to itself."""
        key = (id(target.schema), target.is_outside, around == CLOSED)
        if key not in self._names:
            self._names[key] = (str(len(self._names)), target)
            self._todo.append((self._names[key][0], target, around))
        return reference(self._names[key][0])

    def _definitions_of(self, schema: Json) -> Schema:
        """Return the definitions that a schema refers to, as far as they are written."""
        return needed(schema, self._definitions)

    def _laid_out(self, target: Target, around: Around) -> Json:
        outline = self._outlines.of(target)
        types = outline.types()
        if not types:
            return self._impossible(target, "no type is all that is asked for")
        self._check_multiples(target)
        meant = [] if around.typed or types != ALL_TYPES else outline.meant_types()
        around = replace(
            around,
            typed=around.typed or types != ALL_TYPES or bool(meant),
            doubled=around.doubled | self._doubled(outline),
        )
        target = spelled_out(self._references.scoped(target), self._references)
        closure, chosen = self._closing(target, outline, around.closing, types)
        own = self._plain.write(target, outline, around.doubled, meant, closed=closure is not None)
        if own is None:
            return self._impossible(target, "no value is all that is asked for")
        written = [own, *self._held(target, replace(around, closing=None, context=()))]
        written += [] if closure is None else [closure]
        written = [each for each in written if each not in (True, {})]
        choices = self._choices(
            target, replace(around, closing=chosen, context=(*around.context, *written))
        )
        written += [each for each in choices if each is not True]
        if False in written:
            return self._impossible(target, "no value is all that is asked for")
        if not written:
            return True
        return written[0] if len(written) == 1 else {"allOf": written}

    def _impossible(self, target: Target, problem: str) -> bool:
        """Return False, and remember why if nothing was impossible before."""
        self._reason = self._reason or f"{target.path}: {problem}"
        return False

    def _held(self, target: Target, around: Around) -> list[Json]:
        """Write the other schemas that hold for the same value."""
        held = target.listed("allOf") if "allOf" in target.schema else []
        if "$ref" in target.schema:
            held.insert(0, self._references.referred(target))
        # Laid out, as llguidance takes no reference beside others where they lead in a circle.
        return [self._schema(self._references.last(each), around) for each in held]

    def _choices(self, target: Target, around: Around) -> list[Json]:
        """Write the choices of which one holds for the same value."""
        found: list[Json] = []
        for keyword in target.schema:
            if keyword == "anyOf":
                found.append(
                    _choice([self._schema(each, around) for each in target.listed(keyword)])
                )
            elif keyword == "oneOf":
                found.append(
                    _choice(
                        self._exclusion.choice(
                            target.listed(keyword),
                            around.context,
                            lambda each: self._schema(each, around),
                            f"{target.path}.oneOf",
                        )
                    )
                )
            elif keyword == "not":
                found.append(_not_required(target.under("not")))
            elif keyword in ("dependencies", "dependentRequired", "dependentSchemas"):
                for name, each in target.named(keyword).items():
                    found.append(self._dependent(name, each, replace(around, closing=None)))
        return found

    def _dependent(self, name: str, needed: Target, around: Around) -> Json:
        """Let a property be absent, or present with what it needs."""
        present: Schema = {"type": ["object"], "required": [name]}
        if isinstance(needed.schema, list):
            present["required"] += names_of(needed.schema, needed.path)
            return _choice([_without(name), present])
        way = self._schema(needed, around)
        return _choice([_without(name), way is not False and {"allOf": [present, way]}])

    def _closing(
        self, target: Target, outline: Outline, outer: Names | None, types: frozenset[str]
    ) -> tuple[Schema | None, Names | None]:
        """Return what closes an object here, and what closes it in the branches of its choice.

        Objects that name properties have no others: a model that may invent some seldom comes to
        an end. The standard would allow any others.
        """
        names = outline.names()
        if outer is None or "object" not in types or names.is_open:
            return None, None
        names = outer.joined(names)
        groups = [(each[0].path, self._outlines.names(each)) for each in outline.groups]
        groups = [(path, inner) for path, inner in groups if inner.names or inner.patterns]
        own = {f"{target.path}.{keyword}[0]" for keyword in ("anyOf", "oneOf")}
        if (len(groups) == 1 and groups[0][0] in own) or not (groups or names.speaks):
            return None, names  # who chooses one of them has no properties of the others
        for _, inner in groups:
            names = names.joined(inner)
        return (names.closure, None) if names.speaks and not names.is_open else (None, None)

    def _doubled(self, outline: Outline) -> frozenset[str | None]:
        """Return the properties that several schemas describe, which must not each close them."""
        counts = Counter(outline.speaks_of())
        for group in outline.groups:
            deep = self._outlines.deep(group)
            counts.update({name for each in deep for name in each.speaks_of()})
        return frozenset(name for name, count in counts.items() if count > 1)

    def _check_multiples(self, target: Target) -> None:
        """Check that no number must be a multiple of two, which llguidance computes too small."""
        steps = [
            f"{part.path}.multipleOf"
            for each in self._outlines.deep([target])
            for part in each.parts
            if "multipleOf" in part.schema
        ]
        if len(steps) > 1:
            raise ConstraintError(f"{steps[-1]}: not supported together with another one")


def _without(name: str) -> Schema:
    return {"properties": {name: False}}


def _not_required(target: Target) -> Json:
    """Write that some properties are not all there.

    Raises:
        ConstraintError: what must not hold is something else.
    """
    schema = target.schema
    if not isinstance(schema, dict) or schema.keys() - {"type"} != {"required"}:
        raise ConstraintError(f"{target.path}: only `required` is supported inside of `not`")
    types_in(schema, target.path)
    names = names_of(schema["required"], f"{target.path}.required")
    return _choice([{"type": ["object"]} | _without(name) for name in names])


def _choice(ways: list[Json]) -> Json:
    ways = [each for each in ways if each is not False]
    if not ways:
        return False
    return True if True in ways else {"anyOf": ways}
