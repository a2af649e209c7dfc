"""Commands by name, each imported when it is called.

Owns finding a command's module and the way out of a misspelt name. Does not own any command.
Invariant: help and a call of one command never import another, so that starting stays fast.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module

import click

from armarius.errors import UsageError, nearest

__all__ = ["LazyGroup"]


class LazyGroup(click.Group):
    """A group whose commands are the attribute `command` of modules in `package`."""

    def __init__(
        self,
        package: str,
        commands: Mapping[str, str],
        name: str | None = None,
        common: Sequence[click.Option] = (),
        **options: object,
    ) -> None:
        """`commands` maps each name, which is its module's too (`-` for `_`), to its sentence in the help.

        `common` are options that every command of the group has.
        """
        super().__init__(name, **options)  # type: ignore[arg-type]  # click's own keywords, passed on as they are
        self._package = package
        self._sentences = commands
        self._common = common

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(self._sentences)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002
        if cmd_name not in self._sentences:
            raise UsageError("usage", f"no command {cmd_name!r}", nearest(cmd_name, list(self._sentences)))
        command: click.Command = import_module(f"{self._package}.{cmd_name.replace('-', '_')}").command
        command.params += [option for option in self._common if option not in command.params]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(self._sentences.items()))
