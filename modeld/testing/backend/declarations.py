# SPDX-License-Identifier: GPL-3.0-only
"""Checks of what a backend says before anything is loaded."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from typing import Any, Final

import msgspec

from modeld import BackendSampling, Capability, ModelSpec, Options
from modeld.sampling import COMMON, parameters_of
from modeld.settings.model_rows import SERVING
from modeld.testing.backend.subject import BackendSubject, check_estimate, check_whole_number
from modeld.testing.contract import assert_that, check
from modeld.testing.contracts.naming import check_name
from modeld.testing.contracts.timing import quickest
from modeld.values import FitStep

FOREIGN: Final = ModelSpec(
    id="nobodys.zzz",
    name="nobodys",
    path="/nowhere/nobodys.zzz",
    format="modeld-foreign",
    family="foreign",
    size_bytes=1,
)
"""A model of a kind that there is not."""


class DeclarationChecks(BackendSubject):
    """Names, options, capabilities and estimates."""

    @check()
    def test_it_has_a_name(self) -> None:
        """It is named, with a text that can be a label."""
        check_name("the backend", self.backend)

    @check()
    def test_its_options_go_to_a_worker_and_back(self) -> None:
        """What can be set per model is declared, and what is set is what a worker gets."""
        declared: Any = self.backend.options_type
        assert_that(
            isinstance(declared, type) and issubclass(declared, Options),
            f"options_type is {declared!r}; it must be a subclass of modeld.Options",
        )
        taken = sorted(SERVING.keys() & set(declared.__struct_fields__))
        assert_that(
            not taken,
            f"options_type has {taken}, which are options of modeld's own; call them otherwise",
        )
        options = self.typed_options
        try:
            back = msgspec.convert(msgspec.to_builtins(options), declared)
        except (msgspec.ValidationError, TypeError) as exc:
            raise AssertionError(
                f"the options {options!r} are refused by their own type: {exc}; mend the default"
                " that is out of its range"
            ) from exc
        assert_that(back == options, f"the options {options!r} come back as {back!r} from a worker")

    @check()
    def test_its_sampling_parameters_are_declared(self) -> None:
        """What requests may set is a table, and what is not served is in the common one."""
        declared: Any = self.backend.sampling_type
        assert_that(
            isinstance(declared, type) and issubclass(declared, BackendSampling),
            f"sampling_type is {declared!r}; it must be a subclass of modeld.BackendSampling",
        )
        try:
            parameters_of(declared)
        except ValueError as exc:
            raise AssertionError(f"sampling_type cannot be fields of requests: {exc}") from exc
        unknown = set(self.backend.unserved_sampling) - {row.name for row in COMMON}
        assert_that(
            not unknown,
            f"unserved_sampling names {sorted(unknown)}, which no request has; take names of"
            " members of modeld.Sampling",
        )

    @check()
    def test_its_warm_imports_are_modules(self) -> None:
        """What warm workers import is there."""
        names = self.backend.warm_imports
        assert_that(
            isinstance(names, tuple | list), f"warm_imports is {names!r}; it must be a tuple"
        )
        for name in names:
            assert_that(
                _is_module(name),
                f"warm_imports names {name!r}, and there is no such module",
            )

    @check()
    def test_foreign_models_are_refused(self) -> None:
        """A model of another format is for another backend."""
        said: object = self.backend.can_load(FOREIGN)
        assert_that(
            said is False,
            f"can_load returned {said!r} for a model of the format {FOREIGN.format!r}; return False"
            " for what the backend does not know, or it takes other backends' models",
        )

    @check()
    def test_its_own_model_is_taken_by_its_spec_alone(self) -> None:
        """``can_load`` agrees, also where the file is not there: it reads nothing."""
        said: object = self.backend.can_load(self.spec)
        assert_that(
            said is True, f"can_load returned {said!r} for {self.spec!r}; it must be True there"
        )
        gone: object = self.backend.can_load(self.without_file())
        assert_that(
            gone is True,
            "can_load said no to the same model with a path that is not there; decide from the"
            " spec alone, because it is called on the event loop for every model",
        )

    @check()
    def test_can_load_is_quick(self) -> None:
        """It never blocks the event loop."""
        took_s = quickest(lambda: self.backend.can_load(self.spec))
        assert_that(
            took_s < self.quick_s,
            f"can_load took {took_s:.3f} s; it is called on the event loop and must return at once",
        )

    @check()
    def test_its_capabilities_are_known(self) -> None:
        """They are a collection of ``Capability``, the same each time."""
        declared: object = self.declared
        assert_that(
            isinstance(declared, Collection) and not isinstance(declared, str),
            f"capabilities returned {declared!r}; return a set of modeld.Capability",
        )
        assert isinstance(declared, Collection)
        strange = [each for each in declared if not isinstance(each, Capability)]
        assert_that(
            not strange, f"capabilities has {strange!r}; each must be a member of modeld.Capability"
        )
        assert_that(declared, "capabilities is empty, so every request would be refused")
        assert_that(
            frozenset(self.declared) == frozenset(declared),
            "capabilities returned something else the second time; it must depend on the spec and"
            " the options alone",
        )

    @check()
    def test_its_advice_is_text(self) -> None:
        """What ends the message of a refusal can be written there."""
        for missing in sorted(set(Capability) - set(self.declared)):
            said: object = self.backend.advice(missing, self.spec, self.typed_options)
            assert_that(
                isinstance(said, str) and "\n" not in said,
                f"advice returned {said!r} for {missing.value!r}; return one sentence, or ''",
            )

    @check()
    def test_the_context_is_a_number_or_unknown(self) -> None:
        """The most tokens of a request are counted, or ``None``."""
        context: object = self.backend.context(self.spec, self.typed_options)
        if context is not None:
            check_whole_number("context", context, 1)

    @check("test_its_options_go_to_a_worker_and_back")
    def test_its_fit_steps_leave_what_is_fixed(self) -> None:
        """What a model can do with less of are options of its own, and none that somebody set."""
        plain = msgspec.to_builtins(self.typed_options)
        left: object = [*self.backend.fit_steps(self.spec, self.typed_options, plain.keys(), 1)]
        assert_that(not left, f"fit_steps returned {left!r}, where every option is fixed")
        for step in self.backend.fit_steps(self.spec, self.typed_options, frozenset(), 1):
            assert_that(isinstance(step, FitStep), f"fit_steps returned {step!r}; return FitSteps")
            plain = {**plain, **step.changes}
            try:
                msgspec.convert(plain, self.backend.options_type)
            except msgspec.ValidationError as exc:
                raise AssertionError(
                    f"fit_steps has {step!r} after those before it, which makes options that cannot"
                    f" be: {exc}"
                ) from exc

    @check()
    def test_the_estimate_is_whole_and_positive(self) -> None:
        """Its parts are bytes, and a model that holds nothing is none."""
        found = check_estimate("estimate", self.backend.estimate(self.spec, self.typed_options))
        assert_that(
            found.total_bytes > 0, "estimate came to 0 bytes; the model would never be evicted"
        )

    @check("test_the_estimate_is_whole_and_positive")
    def test_the_estimate_is_the_same_each_time(self) -> None:
        """It depends on the spec and the options alone."""
        one = self.backend.estimate(self.spec, self.typed_options)
        other = self.backend.estimate(self.spec, self.typed_options)
        assert_that(
            one == other, f"estimate returned {one!r} and then {other!r}; compute it, guess nothing"
        )

    @check()
    def test_the_estimate_is_quick(self) -> None:
        """Others wait for it; what takes longer belongs into ``measure``."""
        took_s = quickest(lambda: self.backend.estimate(self.spec, self.typed_options))
        assert_that(
            took_s < self.estimate_s,
            f"estimate took {took_s:.1f} s; compute it from the spec, and leave to `measure` what"
            " has to be tried",
        )


def _is_module(name: object) -> bool:
    try:
        return isinstance(name, str) and find_spec(name) is not None
    except (ImportError, ValueError):
        return False
