# SPDX-License-Identifier: GPL-3.0-only
from typing import Annotated, ClassVar

import msgspec
import pytest

from modeld import Options, Settings
from modeld.errors import ConfigurationError, InvalidModelError
from modeld.interfaces import Backend
from modeld.serving.models.options import options_of
from modeld.values import JsonValue
from tests.support.serving.fakes import FakeBackend
from tests.support.serving.sources import a_spec


class Knobs(Options, frozen=True):
    context: Annotated[int, msgspec.Meta(ge=8)] = 4096
    threads: int | None = None


class Tunable(FakeBackend):
    name = "tunable"
    options_type: ClassVar[type[Options]] = Knobs


class Range(Options, frozen=True):
    low: int = 0
    high: int = 10

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


class Ranged(FakeBackend):
    options_type: ClassVar[type[Options]] = Range


class Needy(Options, frozen=True):
    address: str
    port: int = 80


class Remote(FakeBackend):
    name = "remote"
    options_type: ClassVar[type[Options]] = Needy


Rows = dict[str, dict[str, JsonValue]]


def options_for(model: str, rows: Rows, backend: Backend) -> Options:
    return options_of(a_spec(model), Settings(models=rows), backend)


def refusal(rows: Rows, model: str = "a") -> str:
    with pytest.raises(ConfigurationError) as caught:
        options_for(model, rows, Tunable())
    assert caught.value.field == "models"
    return caught.value.message


def test_without_a_row_the_defaults_of_the_backend_hold() -> None:
    assert options_for("a", {}, Tunable()) == Knobs()


def test_a_row_is_for_the_model_that_it_names() -> None:
    rows: Rows = {"a": {"context": 100}, "b": {"context": 200}}

    assert options_for("b", rows, Tunable()) == Knobs(context=200)


def test_globs_match_and_later_rows_win_option_by_option() -> None:
    rows: Rows = {
        "*": {"context": 100, "slots": 2},
        "qwen*": {"context": 200, "threads": 3},
        "qwen-7b": {"threads": 5},
    }

    assert options_for("qwen-7b", rows, Tunable()) == Knobs(context=200, slots=2, threads=5)
    assert options_for("llama", rows, Tunable()) == Knobs(context=100, slots=2)


def test_the_row_of_an_id_wins_over_globs_wherever_it_stands() -> None:
    rows: Rows = {"qwen-7b": {"context": 200}, "*": {"context": 100, "threads": 3}}

    assert options_for("qwen-7b", rows, Tunable()) == Knobs(context=200, threads=3)


def test_a_name_with_the_signs_of_a_pattern_has_a_row_of_its_own() -> None:
    rows: Rows = {"q[1]": {"context": 200}, "*": {"context": 100}}
    assert options_for("q[1]", rows, Tunable()) == Knobs(context=200)
    assert options_for("q1", rows, Tunable()) == Knobs(context=100)


def test_a_preset_wins_over_the_rows_of_its_model_and_has_none_of_its_own_name() -> None:
    settings = Settings(
        models={"a": {"context": 100, "threads": 2}, "bri*": {"slots": 9}},
        presets={"brief": {"model": "a", "context": 50}},
    )
    spec = a_spec("brief", preset_of="a", options={"threads": 1, "slots": 3})
    assert options_of(spec, settings, Tunable()) == Knobs(context=50, threads=2, slots=3)


def test_a_wrong_option_of_a_preset_names_it() -> None:
    settings = Settings(presets={"brief": {"model": "a", "contxt": 50}})
    with pytest.raises(ConfigurationError) as caught:
        options_of(a_spec("brief", preset_of="a"), settings, Tunable())
    assert caught.value.message == (
        "presets['brief'].contxt: backend 'tunable' has no such option; did you mean 'context'?"
    )


def test_matching_tells_upper_from_lower_case() -> None:
    assert options_for("Qwen", {"qwen": {"context": 100}}, Tunable()) == Knobs()


def test_an_unknown_option_names_its_row_and_the_nearest_one() -> None:
    message = refusal({"qwen*": {"contex": 100}}, "qwen-7b")

    assert message == (
        "models['qwen*'].contex: backend 'tunable' has no such option; did you mean 'context'?"
    )


def test_an_unknown_option_like_no_other_names_all_that_there_are() -> None:
    message = refusal({"*": {"zzz": 100}}, "qwen-7b")

    assert message.endswith(
        "has no such option; it has aliases, backend, context, fit, max_idle_s, pin, preload,"
        " priority, sampling, slots, threads, warm_up"
    )


@pytest.mark.parametrize("value", ["long", 1.5, None, 7, [1], True])
def test_a_wrong_value_names_its_row_and_option(value: JsonValue) -> None:
    assert refusal({"a": {"context": value}}).startswith("models['a'].context: ")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"context": "long"}, "context: expected a whole number of 8 or more, got 'long'"),
        ({"context": 7}, "context: expected a whole number of 8 or more, got 7"),
        ({"context": None}, "context: expected a whole number of 8 or more, got nothing"),
        ({"context": True}, "context: expected a whole number of 8 or more, got true"),
        ({"threads": 1.5}, "threads: expected a whole number or nothing (null), got 1.5"),
        ({"slots": 257}, "slots: expected a whole number from 1 to 256 or nothing (null), got 257"),
        (
            {"slots": [1]},
            "slots: expected a whole number from 1 to 256 or nothing (null), got a list",
        ),
        (
            {"slots": {}},
            "slots: expected a whole number from 1 to 256 or nothing (null), got a table",
        ),
    ],
)
def test_a_wrong_value_is_told_what_was_expected(row: dict[str, JsonValue], said: str) -> None:
    assert refusal({"a": row}) == f"models['a'].{said}"


@pytest.mark.parametrize("slots", [0, -1, 257])
def test_slots_have_a_range(slots: int) -> None:
    assert "slots" in refusal({"*": {"slots": slots}})


def test_rows_that_are_fine_alone_and_wrong_together_name_the_model() -> None:
    rows: Rows = {"*": {"low": 5}, "a": {"high": 3}}

    with pytest.raises(ConfigurationError, match="models, for 'a': low is above high"):
        options_for("a", rows, Ranged())


def test_rows_of_other_models_are_not_checked() -> None:
    rows: Rows = {"other": {"nonsense": 1}}

    assert options_for("a", rows, Tunable()) == Knobs()


def test_a_wrong_row_is_refused_although_a_later_one_would_win() -> None:
    assert "models['*'].context" in refusal({"*": {"context": "long"}, "a": {"context": 100}})


def test_an_option_that_a_backend_needs_may_come_from_any_row() -> None:
    rows: Rows = {"*": {"port": 8080}, "a": {"address": "here"}}
    assert options_for("a", rows, Remote()) == Needy(port=8080, address="here")
    with pytest.raises(ConfigurationError) as caught:
        options_for("b", rows, Remote())
    assert caught.value.message == "models, for 'b': backend 'remote' needs the option 'address'"


def test_a_source_gives_options_and_the_settings_win_over_them() -> None:
    spec = a_spec("a", options={"context": 100, "threads": 2})
    rows: Rows = {"*": {"context": 200}}
    assert options_of(spec, Settings(), Tunable()) == Knobs(context=100, threads=2)
    assert options_of(spec, Settings(models=rows), Tunable()) == Knobs(context=200, threads=2)
    needed = a_spec("a", options={"address": "here"})
    assert options_of(needed, Settings(), Remote()) == Needy(address="here")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"contxt": 1}, ".contxt: backend 'tunable' has no such option; did you mean 'context'?"),
        ({"context": 1}, ".context: expected a whole number of 8 or more, got 1"),
        ({"sampling": {"top_p": 2}}, ".sampling.top_p: expected a number above 0 up to 1"),
        ({"pin": True}, ".pin: backend 'tunable' has no such option; it has backend, context"),
    ],
)
def test_a_wrong_option_of_a_source_makes_only_its_model_unusable(
    options: dict[str, JsonValue], said: str
) -> None:
    with pytest.raises(InvalidModelError) as caught:
        options_of(a_spec("a", source="mine", options=options), Settings(), Tunable())
    assert caught.value.message.startswith(
        f"model 'a' cannot be used: the options of source 'mine'{said}"
    )
