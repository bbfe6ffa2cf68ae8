# SPDX-License-Identifier: GPL-3.0-only
"""What plugins say of their commands, and what becomes of names that are taken."""

from typing import Any

import pytest

from modeld import Command, Settings, hookimpl
from modeld.commands import BUILT_IN
from modeld.plugins.host import PluginHost
from tests.support.plugins.some_plugins import Brings, Thing, discover, status_of


def command(name: str = "greet", **fields: str) -> Command:
    return Command(**{"name": name, "summary": "Greet.", "target": "zoo.greet:command"} | fields)


class Commands(Brings):
    """A plugin with commands, and a backend beside them."""

    def __init__(self, *commands: object, backend: str = "thing") -> None:
        super().__init__(Thing(backend))
        self._commands = commands

    @hookimpl
    def modeld_register_commands(self) -> list[Any]:
        return list(self._commands)


@pytest.mark.parametrize("name", ["bench", "upload-all", "x2"])
def test_a_command_has_the_name_of_a_command(name: str) -> None:
    assert command(name).name == name


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "Bench"},
        {"name": "--bench"},
        {"name": "two words"},
        {"name": "a\x1b[2J"},
        {"summary": ""},
        {"summary": " "},
        {"summary": "one\ntwo"},
        {"target": "modeld_bench"},
        {"target": "modeld_bench:"},
        {"target": "modeld bench:command"},
        {"target": ":command"},
    ],
    ids=str,
)
def test_what_cannot_be_a_command_is_refused_with_what_it_was(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not") as caught:
        command(**fields)
    assert repr(next(iter(fields.values()))) in str(caught.value)


def test_commands_are_listed_among_what_a_plugin_brings_and_are_not_imported() -> None:
    host = discover({"mine": Commands(command(target="no_such_module:command"))})
    assert status_of(host, "mine").provides == ("backend thing", "command greet")
    assert host.commands["greet"].target == "no_such_module:command"
    assert host.owner_of("command", "greet") == "mine"


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_command_with_the_name_of_a_built_in_one_is_left_out_alone_and_the_log_says_so(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    host = discover({"mine": Commands(command(name), command())})
    status = status_of(host, "mine")
    assert (status.state, status.provides) == ("active", ("backend thing", "command greet"))
    assert status.reason == f"its command {name!r} is left out: modeld itself has one of this name"
    assert "thing" in host.backends
    assert host.commands.keys() & BUILT_IN.keys() == set()
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        f"plugin 'mine': {status.reason}",
    )


def test_of_two_plugins_with_one_command_the_second_goes_without_it() -> None:
    first, second = Commands(command(), backend="one"), Commands(command(), backend="two")
    host = discover({"first": first, "second": second})
    assert status_of(host, "first").reason is None
    status = status_of(host, "second")
    assert (status.state, status.provides) == ("active", ("backend two",))
    assert status.reason == (
        "its command 'greet' is left out: the plugin 'first' has one of this name"
    )
    assert host.owner_of("command", "greet") == "first"
    assert {"one", "two"} <= host.backends.keys()


def test_of_two_commands_of_one_plugin_with_one_name_the_first_is_taken() -> None:
    first, second = command(target="zoo:first"), command(target="zoo:second")
    host = discover({"mine": Commands(first, second)})
    assert host.commands["greet"] is first
    assert status_of(host, "mine").reason == (
        "its command 'greet' is left out: the plugin 'mine' has one of this name"
    )


def test_all_that_is_left_out_of_one_plugin_is_named() -> None:
    host = discover({"mine": Commands(command("serve"), 7, command("run"))})
    status = status_of(host, "mine")
    assert (status.state, status.provides) == ("active", ("backend thing",))
    assert status.reason == (
        "a command is left out: it brought 7, which is not a Command;"
        " its command 'serve' is left out: modeld itself has one of this name;"
        " its command 'run' is left out: modeld itself has one of this name"
    )


def test_a_command_and_a_thing_of_another_kind_may_have_one_name() -> None:
    host = discover({"mine": Commands(command("thing"))})
    assert status_of(host, "mine").provides == ("backend thing", "command thing")


def test_for_commands_alone_the_built_in_plugins_are_not_asked() -> None:
    names = [status.name for status in PluginHost.discover_commands(Settings()).statuses()]
    assert "llama-cpp" in names
    assert "lru" not in names
