# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import re

import click
import pytest

from modeld.cli.main import ExitCode, main
from modeld.cli.run import command
from modeld.cli.sampling_options import sampling, sampling_options
from modeld.httpapi.sampling_fields import SamplingFields
from modeld.values import Sampling

FOR_PROGRAMS = {"logit_bias", "dry_sequence_breakers"}
WORDS = set(Sampling.__struct_fields__) - FOR_PROGRAMS
NUMBERS = WORDS - {"ignore_eos"}


def given_by(*args: str) -> Sampling:
    """What these arguments mean."""

    @click.command()
    @sampling_options
    def choose(**given: object) -> Sampling:
        return sampling(given)

    found = choose.main(list(args), standalone_mode=False)
    assert isinstance(found, Sampling)
    return found


def test_every_way_of_choosing_but_those_for_programs_has_an_option():
    assert {param.name for param in command.params} >= WORDS


def test_without_options_the_engine_chooses():
    assert given_by() == Sampling()


def test_the_options_arrive_as_the_numbers_that_they_are():
    assert given_by(
        *("--temperature", "0.5", "--top-k", "5", "--repeat-last-n", "-1"),
        *("--presence-penalty", "-0.5", "--ignore-eos", "--seed", "7"),
    ) == Sampling(
        temperature=0.5,
        top_k=5,
        repeat_last_n=-1,
        presence_penalty=-0.5,
        ignore_eos=True,
        seed=7,
    )


def test_a_seed_of_minus_1_is_random_as_none_is():
    assert given_by("--seed", "-1") == Sampling()


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_an_option_has_the_range_of_the_field_of_its_name(name):
    schema = SamplingFields.model_json_schema()["properties"][name]["anyOf"][0]
    flag = "--" + name.replace("_", "-")
    assert getattr(given_by(flag, str(schema["maximum"])), name) == schema["maximum"]
    wrong = [schema["maximum"] * 2 + 1, schema.get("minimum", 1) - 1, "nan", "inf", "x", ""]
    wrong += [schema["exclusiveMinimum"]] if "exclusiveMinimum" in schema else []
    for value in wrong:
        with pytest.raises(click.BadParameter):
            given_by(flag, str(value))


def test_the_options_have_a_section_of_their_own_in_the_help(capsys):
    assert main(["run", "--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    section = shown.partition("\nSampling:\n")[2].partition("\n\n")[0]
    flags = re.findall(r"^  (--[a-z-]+)", section, re.MULTILINE)
    assert sorted(flags) == sorted("--" + name.replace("_", "-") for name in WORDS)
    assert shown.index("\nOptions:\n") < shown.index("\nSampling:\n") < shown.index("\nWorkers:\n")
