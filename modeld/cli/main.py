# SPDX-License-Identifier: GPL-3.0-only
"""The command ``modeld``: finds the subcommand, and turns every end into an exit code."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import click

from modeld.cli.output import OutputError
from modeld.commands import BUILT_IN
from modeld.errors import ConfigurationError, InternalError, ModeldError, StartError
from modeld.terminal import visible

if TYPE_CHECKING:
    from modeld.cli.plugin_commands import PluginCommands


class ExitCode(IntEnum):
    """How the process ends; service managers act on it."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_STARTED = 3
    INTERNAL = 70
    INTERRUPTED = 130


COMMANDS: Final = tuple(BUILT_IN)
"""The built-in commands; each is ``command`` in its module of the room of commands."""

_FOUND: Final = f"{__name__}.plugin_commands"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run, so that each starts fast.

    Plugins are asked for theirs only where no built-in one has the name.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the help, those of plugins last."""
        return [*COMMANDS, *sorted(_of_plugins(ctx).commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command.

        Raises:
            InternalError: it is one of a plugin and cannot be imported.
        """
        if cmd_name in COMMANDS:
            found = importlib.import_module(f"modeld.cli.commands.{cmd_name}").command
            assert isinstance(found, click.Command)
            return found
        plugins = _of_plugins(ctx)
        if cmd_name not in plugins.commands:
            return None
        try:
            return plugins.load(cmd_name)
        except InternalError:
            if ctx.resilient_parsing:  # a shell that completes names is told of no fault
                return None
            raise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; say what to do if there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            plugins = _of_plugins(ctx)
            if args[0] not in plugins.commands:
                _warn(plugins)
                ctx.fail(visible(plugins.why_unknown(args[0], list(COMMANDS))))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, without importing it."""
        plugins = _of_plugins(ctx)
        _warn(plugins)
        rows = {
            "Commands": list(BUILT_IN.items()),
            "Commands of plugins": [
                (name, plugins.commands[name].summary) for name in sorted(plugins.commands)
            ],
        }
        for title, commands in rows.items():
            if commands:
                with formatter.section(title):
                    formatter.write_dl(commands)


def _of_plugins(ctx: click.Context) -> PluginCommands:
    """Return the plugins' commands, looked up once for a command line."""
    # It imports what finds plugins, which the built-in commands may do without.
    from modeld.cli.plugin_commands import find_plugin_commands  # noqa: PLC0415

    if _FOUND not in ctx.meta:
        ctx.meta[_FOUND] = find_plugin_commands()
    found: PluginCommands = ctx.meta[_FOUND]
    return found


def _warn(plugins: PluginCommands) -> None:
    for warning in plugins.warnings:
        click.echo(f"modeld: warning: {visible(warning)}", err=True)


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
      modeld run tiny.gguf "Once upon a time"    one generation in this terminal
      modeld models                              what there is to serve
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    A reader of standard output that has left is told nothing: ``modeld models | head`` is fine.
    """
    try:
        code = cli.main(args, prog_name="modeld", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except click.Abort:
        return ExitCode.INTERRUPTED
    except OutputError as exc:
        if not exc.reader_left:
            click.echo(f"modeld: error: {exc}", err=True)
        return ExitCode.FAILED
    except ModeldError as exc:
        click.echo(f"modeld: error: {visible(exc.message)}", err=True)
        return _code_of(exc)
    except Exception as exc:  # noqa: BLE001  (the last resort: it names the fault and says so)
        traceback.print_exc()
        click.echo(f"modeld: internal error: {visible(str(exc))}; please report it", err=True)
        return ExitCode.INTERNAL
    # A plugin's command may return what click alone would ignore.
    is_code = isinstance(code, int) and not isinstance(code, bool)
    return int(code) if is_code else ExitCode.OK


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
