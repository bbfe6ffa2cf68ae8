# SPDX-License-Identifier: GPL-3.0-only
"""What the bodies of several requests have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

from modeld.errors import InvalidRequestError
from modeld.requests import MAX_KEEP_ALIVE_S

UNKNOWN_FIELD = "unknown_field"
"""The kind of the fault that :class:`Strict` finds; ``name`` in its context is the field's, and
``advice`` what to send instead, where that is known."""

MISSING_FIELD = "missing_field"
"""The kind of the fault that a field is missing beside others; ``name`` is the field's."""

UNSERVED_KIND = "unserved_kind"
"""The kind of the fault that an object is of a type which is not served; ``name`` is the member
that says so."""

MAX_TIMEOUT_S = 86_400.0


class Strict(BaseModel):
    """Base of request bodies: no conversions, no unknown fields, finite numbers only.

    ``elsewhere`` has the names that neighbouring wires have for what this one says otherwise, and
    what to send instead: a client that sends another wire's form is told so.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
    elsewhere: ClassVar[Mapping[str, str]] = {}

    wire_names: ClassVar[frozenset[str]] = frozenset()
    """The names of the fields in JSON."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        """Note the names of the fields, which each body is compared with."""
        fields = cls.model_fields.items()
        cls.wire_names = frozenset(field.alias or name for name, field in fields)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:
        """Stop at the first unknown field; pydantic would describe each of thousands."""
        if isinstance(given, dict) and not given.keys() <= cls.wire_names:
            unknown = next(name for name in given if name not in cls.wire_names)
            context = {"name": unknown, "advice": cls.elsewhere.get(unknown, "")}
            raise PydanticCustomError(UNKNOWN_FIELD, "unknown field", context)
        return given


def _keep_alive_kind(given: Any) -> str:
    return "~word" if isinstance(given, str) else "~seconds"


KeepAlive = Annotated[
    Annotated[Annotated[float, Field(ge=0, le=MAX_KEEP_ALIVE_S)], Tag("~seconds")]
    | Annotated[Literal["forever"], Tag("~word")],
    Discriminator(_keep_alive_kind),
]


class ModelRequest(Strict):
    """Base of the requests that a model serves."""

    model: str | None = Field(
        None, max_length=512, description="id from GET /models; without it the default model"
    )
    timeout_s: float | None = Field(
        None, gt=0, le=MAX_TIMEOUT_S, description="longest time for the whole request, in seconds"
    )
    keep_alive_s: KeepAlive | None = Field(
        None,
        description="how many seconds the model stays in memory unused, or forever; without it as"
        " the last request said, at first max_idle_s of the settings",
    )

    fit: bool | None = Field(
        None,
        description="false refuses the request where its model can be had only with less than it is"
        " configured for, because it would never fit otherwise",
    )

    def common_members(self, request_id: str) -> dict[str, Any]:
        """Return the members of a request for the service that these fields are."""
        return {
            "model": self.model or "",
            "timeout_s": self.timeout_s,
            "keep_alive_s": self.keep_alive_s,
            "fit": self.fit is not False,
            "request_id": request_id,
        }


def usable(fault_of: Callable[[Any], str | None]) -> AfterValidator:
    """Return what refuses a value that has a fault, in the words that ``fault_of`` returns."""

    def check(value: Any) -> Any:
        if fault := fault_of(value):
            raise PydanticCustomError("unusable", "{fault}", {"fault": fault})
        return value

    return AfterValidator(check)


@dataclass(frozen=True, slots=True)
class Refused:
    """Takes nothing but null and ``but``, and says in ``advice`` what to do instead.

    The values ``but`` ask for what is so anyway, and count as null.
    """

    advice: str
    but: tuple[object, ...] = ()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the check before that of the type."""
        return no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the values that are taken, for the documents."""
        values = {"enum": [None, *self.but]} if self.but else {"type": "null"}
        return {**values, "description": self.advice}

    def _check(self, given: Any) -> None:
        taken = (None, *self.but)
        if not any(type(given) is type(each) and given == each for each in taken):
            raise PydanticCustomError("refused", "{advice}", {"advice": self.advice})


def refused(advice: str, *, but: tuple[object, ...] = ()) -> Refused:
    """Return the annotation of a field that is known and not served."""
    return Refused(advice, but)


def _fault_of_true(value: bool) -> str | None:  # noqa: FBT001
    return "is not served; leave it out" if value else None


OnlyFalse = Annotated[bool, usable(_fault_of_true), WithJsonSchema({"const": False})]
"""What clients may turn off, because it is never on. A literal would take 0 for it too."""


def only_kinds(kinds: Collection[str], advice: str) -> BeforeValidator:
    """Return what refuses an object whose ``type`` is another text, before its members are read."""

    def check(given: Any) -> Any:
        kind = given.get("type") if isinstance(given, dict) else None
        if isinstance(kind, str) and kind not in kinds:
            raise PydanticCustomError(UNSERVED_KIND, "{advice}", {"advice": advice, "name": "type"})
        return given

    return BeforeValidator(check)


def wrong(field: str, words: str) -> InvalidRequestError:
    """Return the error for a field that does not fit."""
    return InvalidRequestError(f"{field}: {words}", field=field)


def listed(given: Any) -> Any:
    """Return a list of one text for a text alone."""
    return [given] if isinstance(given, str) else given


def one_or_list(text: dict[str, Any], **limits: int) -> WithJsonSchema:
    """Return the schema of what :func:`listed` takes: ``text`` or a list of them in ``limits``."""
    return WithJsonSchema({"anyOf": [text, {"type": "array", "items": text, **limits}]})
