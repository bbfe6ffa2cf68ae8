# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
import yaml
from modeld_llama_cpp.doctor import thread_advice
from modeld_llama_cpp.doctor.facts import Measured, Samples
from modeld_llama_cpp.doctor.thread_advice import Certainty, choose
from modeld_llama_cpp.options import LlamaOptions

from modeld import Finding, ModelSpec

SPEC = ModelSpec(id="m.gguf", name="m", path="m.gguf")
IN_SETTINGS = "in the settings (after other rows of models, if there are some), models: "
STEADY = (1.0, 1.01, 0.99, 1.02, 1.0, 0.98, 1.0)


def times(speed: float) -> tuple[float, ...]:
    return tuple(speed * factor for factor in STEADY)


def told(
    written: dict[int, tuple[float, ...]],
    read: dict[int, tuple[float, ...]] | None = None,
    threads: int = 2,
    threads_batch: int | None = None,
    *,
    others: float = 0.0,
    spec: ModelSpec = SPEC,
) -> Finding:
    read = written if read is None else read
    samples = tuple(
        Samples(threads=number, read=speeds, written=written.get(number, ()))
        for number, speeds in read.items()
    )
    measured = Measured(
        threads=threads,
        threads_batch=threads_batch or threads,
        prompt_tokens=64,
        others=others,
        samples=samples,
    )
    return thread_advice.finding(spec, measured)


def test_a_number_that_is_clearly_faster_is_chosen() -> None:
    choice = choose({1: times(50), 2: times(80), 4: times(100)}, 2)
    assert (choice.best, choice.certainty) == (4, Certainty.CHANGE)
    assert choice.gain == pytest.approx(1.25)


@pytest.mark.parametrize("speed", [109.0, 100.0, 60.0])
def test_a_gain_of_less_than_a_tenth_changes_nothing(speed: float) -> None:
    assert choose({2: times(100), 4: times(speed)}, 2).certainty is Certainty.KEEP


def test_a_gain_in_half_of_the_rounds_only_is_unclear() -> None:
    wild = (50.0, 300.0, 40.0, 300.0, 300.0, 45.0, 300.0)
    assert choose({2: times(100), 4: wild}, 2).certainty is Certainty.UNCLEAR


def test_a_slow_machine_that_gets_slower_is_no_noise() -> None:
    """What hits all numbers of a round alike does not decide."""
    drift = (100.0, 90.0, 70.0, 50.0, 40.0, 30.0, 25.0)
    choice = choose({2: drift, 4: tuple(2 * speed for speed in drift)}, 2)
    assert (choice.best, choice.certainty) == (4, Certainty.CHANGE)


def test_the_current_number_is_not_called_fastest_on_wild_samples() -> None:
    wild = (500.0, 120.0, 400.0, 110.0, 130.0, 600.0, 350.0)
    assert choose({1: times(100), 2: wild}, 2).certainty is Certainty.UNCLEAR


def test_one_or_two_rounds_are_too_few() -> None:
    assert choose({1: (100.0,), 2: (10.0,)}, 2).certainty is Certainty.UNCLEAR


def test_the_fix_is_a_setting_that_the_backend_takes() -> None:
    finding = told({1: times(100), 2: times(50)})
    assert finding.level == "warning"
    assert "writing with 1 is 2.00 times as fast as with 2" in finding.message
    assert finding.fix is not None
    rows = yaml.safe_load(finding.fix.removeprefix(IN_SETTINGS))
    assert LlamaOptions(**rows["*.gguf"]).threads == 1
    assert rows == {"*.gguf": {"threads": 1}}


def test_reading_and_writing_may_want_different_numbers() -> None:
    finding = told({1: times(100), 2: times(50)}, {1: times(100), 2: times(200)})
    assert finding.fix == IN_SETTINGS + '{"*.gguf": {threads: 1, threads_batch: 2}}'
    finding = told({1: times(50), 2: times(100)}, {1: times(300), 2: times(200)})
    assert finding.fix == IN_SETTINGS + '{"*.gguf": {threads_batch: 1}}'


def test_a_number_for_reading_that_is_set_already_is_replaced() -> None:
    finding = told({1: times(100), 2: times(50), 4: times(40)}, threads=4, threads_batch=2)
    assert finding.fix == IN_SETTINGS + '{"*.gguf": {threads: 1, threads_batch: 1}}'


def test_a_model_of_vectors_tells_of_itself_only() -> None:
    finding = told({}, {1: times(300), 2: times(200)})
    assert finding.fix == IN_SETTINGS + '{"m.gguf": {threads: 1}}'
    assert "1 thread 300 tokens/s read" in finding.message


def test_a_row_for_others_never_matches_a_model_of_another_backend() -> None:
    spec = ModelSpec(id="shop/tiny", name="tiny", path="blob")
    finding = told({1: times(100), 2: times(50)}, spec=spec)
    assert finding.fix == IN_SETTINGS + '{"shop/tiny": {threads: 1}}'


def test_the_default_that_is_fast_enough_is_fine() -> None:
    finding = told({1: times(50), 2: times(100)})
    assert (finding.level, finding.fix) == ("ok", None)
    assert finding.message.endswith("none is more than 10 % faster than 2, which is in use")


def test_what_others_compute_meanwhile_makes_it_unclear() -> None:
    finding = told({1: times(100), 2: times(50)}, others=0.9)
    assert finding.level == "warning"
    assert "other programs took the time of 0.9 processors" in finding.message
    assert "measure again" in str(finding.fix)


def test_noise_makes_it_unclear() -> None:
    wild = (500.0, 12.0, 400.0, 11.0, 13.0, 600.0, 350.0)
    finding = told({1: wild, 2: times(50)})
    assert finding.level == "warning"
    assert "differ too much" in finding.message


def test_a_model_too_slow_for_one_round_says_so() -> None:
    finding = told({1: (), 2: ()})
    assert finding.level == "warning"
    assert "smaller model" in str(finding.fix)


def test_the_samples_are_among_the_facts() -> None:
    facts = told({1: times(50), 2: times(100)}).facts
    assert facts["model"] == "m.gguf"
    assert facts["samples"][0]["threads"] == 1  # type: ignore[index,call-overload]
