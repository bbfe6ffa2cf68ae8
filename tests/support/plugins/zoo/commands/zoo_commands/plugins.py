# SPDX-License-Identifier: GPL-3.0-only
"""One plugin for each way in which commands come, or do not come."""

from modeld import Command, hookimpl


class Greeter:
    @hookimpl
    def modeld_register_commands(self) -> list[Command]:
        return [Command(name="greet", summary="Greet NAME.", target="zoo_commands.greet:command")]


class Late(Greeter):
    """Takes the name of the greeter's command."""


class Thief:
    """Takes the name of a built-in command."""

    @hookimpl
    def modeld_register_commands(self) -> list[Command]:
        return [Command(name="serve", summary="Mine.", target="zoo_commands.greet:command")]


class Lost:
    """Its command is in a module that is not there."""

    @hookimpl
    def modeld_register_commands(self) -> list[Command]:
        return [Command(name="lost", summary="Get lost.", target="zoo_commands.nowhere:command")]


class Talker:
    """Its command returns a text."""

    @hookimpl
    def modeld_register_commands(self) -> list[Command]:
        return [Command(name="talk", summary="Talk.", target="zoo_commands.greet:talk")]


class Odd:
    """Its command is none."""

    @hookimpl
    def modeld_register_commands(self) -> list[Command]:
        return [Command(name="odd", summary="Be odd.", target="zoo_commands.greet:not_a_command")]
