# SPDX-License-Identifier: GPL-3.0-only
"""The two real models keep to what they are bound to, whatever they would like to say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import jsonschema
import pytest
from driver import Driver, ask

from modeld import FinishReason, Sampling

pytestmark = pytest.mark.model

Start = Callable[..., Driver]

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["ä", "b c", "d"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
PATTERN = r"[A-Z][a-zäöü]{2,9}, [0-9]{4}-[0-9]{2}!"
FORMS: dict[str, tuple[dict[str, object], str | None]] = {
    "json_schema": ({"json_schema": SCHEMA}, None),
    "regex": ({"regex": PATTERN}, PATTERN),
    "lark": ({"lark": 'start: "<" NAME ">" NAME "</" NAME ">"\nNAME: /[a-z]{1,8}/'}, "<.*>.*</.*>"),
    "grammar": ({"grammar": 'root ::= "- " [a-z ]{3,20} "\\n- " [a-z ]{3,20} "."'}, "(?s)- .*\\."),
    "choice": ({"choice": ("entirely so", "not at all", "né à Paris")}, ".*so|not.*|né à.*"),
}


@pytest.fixture(params=["smollm2", "gemma3"])
def driver(request: pytest.FixtureRequest, start: Start) -> Driver:
    return start(request.getfixturevalue(request.param), slots=5, context=2560, draft_tokens=4)


def test_answers_of_all_forms_conform_side_by_side(driver: Driver) -> None:
    for seed in range(2):
        sampling = Sampling(seed=seed, temperature=1.5)
        generations = driver.run(
            *(
                ask("Tell me about Anna.", max_tokens=150, sampling=sampling, **fields)
                for fields, _ in FORMS.values()
            )
        )
        for generation, (_, conforms) in zip(generations, FORMS.values(), strict=True):
            assert generation.reason is FinishReason.STOP
            if conforms is None:
                jsonschema.validate(json.loads(generation.text), SCHEMA)
            else:
                assert re.fullmatch(conforms, generation.text), generation.text


def test_what_is_spelt_without_a_choice_is_what_the_tokenizer_makes_of_it(driver: Driver) -> None:
    text = '{"favourite colour": "dark green", "größe": 12}'
    generation = driver.read(ask("x", choice=(text,)))
    assert generation.text == text
    spelt = driver.engine._vocabulary.tokenize(text.encode(), add_special=False)
    assert generation.end.usage.completion_tokens == len(spelt)


def test_a_stop_text_and_a_limit_hold_inside(driver: Driver) -> None:
    fields = {"regex": "([a-z]+ ){30}END[a-z]+", "sampling": Sampling(seed=1, temperature=1.0)}
    stopped, cut = driver.run(
        ask("one two", max_tokens=120, stop=(" ",), **fields),
        ask("one two", max_tokens=7, **fields),
    )
    assert re.fullmatch("[a-z]+", stopped.text)
    assert stopped.reason is FinishReason.STOP
    assert cut.reason is FinishReason.LENGTH
    assert cut.end.usage.completion_tokens == 7
