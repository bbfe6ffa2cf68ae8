# SPDX-License-Identifier: GPL-3.0-only
"""The command ``modeld``: finds the subcommand, and turns every end into an exit code."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import click

from modeld.cli.visible import visible
from modeld.errors import ConfigurationError, InternalError, ModeldError, StartError
from modeld.settings import nearest


class ExitCode(IntEnum):
    """How the process ends; service managers act on it."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_STARTED = 3
    INTERNAL = 70
    INTERRUPTED = 130


COMMANDS: Final = ("serve", "run", "models", "plugins", "doctor", "bench", "version", "completion")
"""The subcommands; each is ``command`` in the module of its name, imported when it is asked for."""


class LazyGroup(click.Group):
    """A group whose subcommands are imported by name, so that each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """The subcommands in the order of the help."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  (click's signature)
        cmd_name: str,
    ) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        found = importlib.import_module(f"modeld.cli.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; name the nearest one if there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = nearest(args[0], list(COMMANDS))
            ctx.fail(f"no such command: {visible(args[0])!r}{hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 the server could not"
    " start, 70 a fault of modeld itself, 130 interrupted.",
)
@click.version_option(package_name="modeld", message="%(prog)s %(version)s")
def cli() -> None:
    """Serve many local language models from one machine, inside a memory budget.

    \b
    Examples:
      modeld serve --models-dir ~/models/llm     serve every *.gguf file there
      modeld run tiny.gguf "Once upon a time"    one answer in this terminal
      modeld models                              what there is to serve
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        code = cli.main(args, prog_name="modeld", standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except click.Abort:
        return ExitCode.INTERRUPTED
    except ModeldError as exc:
        click.echo(f"modeld: error: {visible(exc.message)}", err=True)
        return _code_of(exc)
    except Exception as exc:  # noqa: BLE001  (the last resort: it names the fault and says so)
        traceback.print_exc()
        click.echo(f"modeld: internal error: {visible(str(exc))}; please report it", err=True)
        return ExitCode.INTERNAL
    return int(code or ExitCode.OK)


def _code_of(error: ModeldError) -> ExitCode:
    match error:
        case ConfigurationError():
            return ExitCode.USAGE
        case StartError():
            return ExitCode.NOT_STARTED
        case InternalError():
            return ExitCode.INTERNAL
        case _:
            return ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main())
