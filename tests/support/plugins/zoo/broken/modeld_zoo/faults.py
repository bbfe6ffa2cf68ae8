# SPDX-License-Identifier: GPL-3.0-only
import sys
from collections.abc import Iterator
from typing import Any

from modeld import hookimpl
from modeld_zoo.gate import GATE
from modeld_zoo.good import Animal


class Misspelt:
    @hookimpl
    def modeld_register_backend(self) -> list[Any]:
        return []


class Unmarked:
    def modeld_register_backends(self) -> list[Any]:
        return []


class WrongArgument:
    @hookimpl
    def modeld_register_backends(self, config: Any) -> list[Any]:
        return []


class Text:
    @hookimpl
    def modeld_register_backends(self) -> str:
        return "backend"


class Foreign:
    @hookimpl
    def modeld_register_backends(self) -> list[Any]:
        return [Animal("lost"), object()]


class Nameless:
    @hookimpl
    def modeld_register_backends(self) -> list[Any]:
        return [Animal("")]


class Raising:
    @hookimpl
    def modeld_register_backends(self) -> list[Any]:
        raise RuntimeError("no GPU here")


class RaisingLate:
    @hookimpl
    def modeld_register_backends(self) -> Iterator[Any]:
        yield Animal("lost")
        raise RuntimeError("no second GPU here")


class Quitting:
    @hookimpl
    def modeld_register_backends(self) -> list[Any]:
        sys.exit("goodbye")


class Hanging:
    @hookimpl
    def modeld_register_backends(self) -> list[Any]:
        GATE.wait()
        return []


class NeedsArgument:
    def __init__(self, config: Any) -> None:
        pass
