# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import click
import pytest
from msgspec import Meta

from modeld import BackendSampling
from modeld.cli.commands.run import command
from modeld.cli.commands.run.sampling_options import SamplingOption, sampling, sampling_options
from modeld.cli.main import ExitCode, main
from modeld.requests import Sampling
from modeld.sampling import COMMON, parameters_of
from tests.support.sampling_cases import NUMBERS

WORDS = {row.name for row in COMMON} - {"logit_bias"}  # which is for programs


def given_by(*args: str) -> Sampling:
    """Return what these arguments mean."""

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
        *("--temperature", "0.5", "--top-k", "5"),
        *("--presence-penalty", "-0.5", "--ignore-eos", "--seed", "7"),
    ) == Sampling(
        temperature=0.5,
        top_k=5,
        presence_penalty=-0.5,
        ignore_eos=True,
        seed=7,
    )


def test_a_seed_of_minus_1_is_random_as_none_is():
    assert given_by("--seed", "-1") == Sampling()


@pytest.mark.parametrize(("name", "lowest", "highest", "outside"), NUMBERS)
def test_an_option_has_the_range_of_its_row(
    name: str, lowest: float, highest: float, outside: list[Any]
) -> None:
    flag = "--" + name.replace("_", "-")
    for value in (lowest, highest):
        assert getattr(given_by(flag, repr(value)), name) == value
    for wrong in (*outside, "nan", "inf", "x", ""):
        with pytest.raises(click.BadParameter):
            given_by(flag, str(wrong))


def test_the_options_have_a_section_of_their_own_in_the_help(capsys):
    assert main(["run", "--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    section = shown.partition("\nSampling:\n")[2].partition("\n\n")[0]
    flags = re.findall(r"^  (--[a-z-]+)", section, re.MULTILINE)
    assert sorted(flags) == sorted("--" + name.replace("_", "-") for name in WORDS)
    assert shown.index("\nOptions:\n") < shown.index("\nSampling:\n") < shown.index("\nWorkers:\n")


class Wit(BackendSampling, frozen=True):
    wit: Annotated[Annotated[float, Meta(gt=0, lt=9)] | None, Meta(description="how witty")] = None
    puns: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="most puns")] = None
    dry: Annotated[bool | None, Meta(description="without a smile")] = None
    tone: Annotated[Literal["kind", "sharp"] | None, Meta(description="the tone")] = None
    motto: Annotated[str | None, Meta(description="what to live by")] = None
    taboos: Annotated[tuple[str, ...] | None, Meta(description="no laughing matter")] = None


@pytest.mark.parametrize(
    ("args", "value"),
    [
        ((), None),
        (("--wit", "0.5"), 0.5),
        (("--puns", "3"), 3),
        (("--dry",), True),
        (("--no-dry",), False),
        (("--tone", "kind"), "kind"),
        (("--motto", "be kind"), "be kind"),
        (("--taboos", "a", "--taboos", "b"), ("a", "b")),
    ],
)
def test_what_a_backend_declares_is_an_option_of_its_kind(
    args: tuple[str, ...], value: object
) -> None:
    options = [SamplingOption(row) for row in parameters_of(Wit, "wit")]
    command = click.Command("joke", params=options, callback=lambda **given: given)
    given = command.main(list(args), standalone_mode=False)
    assert {each for each in given.values() if each not in (None, ())} == {value} - {None}
    assert {option.section for option in options} == {"Sampling by wit"}


@pytest.mark.parametrize(
    "args", [("--wit", "0"), ("--wit", "9"), ("--puns", "0"), ("--tone", "rude"), ("--puns", "1.5")]
)
def test_what_a_backend_does_not_take_is_wrong_usage(args: tuple[str, ...]) -> None:
    options = [SamplingOption(row) for row in parameters_of(Wit, "wit")]
    with pytest.raises(click.BadParameter):
        click.Command("joke", params=options).main(list(args), standalone_mode=False)


def test_options_of_installed_backends_stand_behind_those_of_all(capsys):
    assert main(["run", "--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert shown.index("\nSampling:\n") < shown.index("\nSampling by llama-cpp:\n")
    assert "--mirostat INTEGER" in shown


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MODELD_WARM_WORKERS", "many"), ("MODELD_EVICTION_POLICY", "none")],
)
def test_help_is_shown_where_the_settings_are_wrong(variable, value, monkeypatch, capsys):
    monkeypatch.setenv(variable, value)
    assert main(["run", "--help"]) == ExitCode.OK
    assert "\nSampling:\n" in capsys.readouterr().out


def test_a_blocked_backend_has_no_options(monkeypatch, capsys):
    monkeypatch.setenv("MODELD_BLOCK_PLUGINS", "llama-cpp,openvino")
    assert main(["run", "--help"]) == ExitCode.OK
    assert "llama-cpp:" not in capsys.readouterr().out
    assert main(["run", "a.gguf", "hi", "--mirostat", "1"]) == ExitCode.USAGE
    assert "No such option '--mirostat'" in capsys.readouterr().err
