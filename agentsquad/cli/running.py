"""What every command has: a client, `--json`, `--squad` and `--as`, and an exit code that means something."""

import asyncio
import functools
import inspect
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from pydantic_core import to_json
from rich.console import Console, RenderableType
from rich.text import Text

from agentsquad.cli.passing import Passing
from agentsquad.client import (
    AsyncClient,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    SquadError,
    Unauthenticated,
    Unreachable,
    wire,
)

WIDTH: Final = 160  # columns where nobody reads along, such as in a file
EXIT: Final[dict[type[SquadError], int]] = {
    Invalid: 2,
    NotFound: 3,
    Unauthenticated: 4,
    Forbidden: 4,
    Conflict: 5,
    Unreachable: 6,
}
PATIENCE: Final = 3.0  # seconds for which a person waits for a server that is away; a command's attempt waits longer
NOTHING: Final = 3  # exit code where there was nothing to do


@dataclass(frozen=True)
class Answer:
    """What a command says.

    Args:
        data: for programs, as JSON: a schema's object, or a list of them.
        view: for people; None for nothing.
        code: the exit code.
        passing: whether it is of this moment: a terminal shows it as one line until something else is said.
    """

    data: Any
    view: RenderableType | None = None
    code: int = 0
    passing: bool = False


Json = Annotated[bool, typer.Option("--json", help="Say it as JSON, for programs.")]
Squad = Annotated[str | None, typer.Option("--squad", "-s", metavar="SQUAD", help="Of this squad, by name or id.")]
As = Annotated[str | None, typer.Option("--as", metavar="MEMBER", help="As this external member of one's squad.")]
Instead = Callable[[str | None, str | None], Awaitable[int]]  # is given squad and member; answers the exit code
OPTIONS: Final = {"as_json": Json, "squad": Squad, "member": As}


def verb(
    app: typer.Typer,
    name: str,
    *,
    instead: Mapping[str, Instead] | None = None,
    more: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a command of an asynchronous function that is given a client and answers an `Answer`, or several.

    One that has a parameter `as_json` is told whether programs read it.

    Args:
        app: whose command it is.
        name: of the command.
        instead: by flag, what is run in its place, without a client, if the flag is set.
        more: options that it shares with others, by parameter; they come as keywords, None where one isn't given.
        settings: typer's own.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function, eval_str=True)
        own = [
            parameter
            for parameter in list(signature.parameters.values())[1:]
            if parameter.name != "as_json" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        added = [
            inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=False if kind is Json else None
            )
            for option, kind in {**(more or {}), **OPTIONS}.items()
        ]

        @functools.wraps(function)
        def command(as_json: bool, squad: str | None, member: str | None, **given: Any) -> None:
            if "as_json" in signature.parameters:
                given["as_json"] = as_json
            for flag, other in (instead or {}).items():
                if given[flag]:
                    ending(functools.partial(other, squad, member))
            ending(lambda: run(function, as_json, squad, member, given))

        del command.__wrapped__  # its signature is another one
        command.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *added]}
        app.command(name, **settings)(command)
        return function

    return register


def ending(run: Callable[[], Any]) -> None:
    """Run something asynchronous to its end; Ctrl-C and a reader that went away are no errors."""
    try:
        code = asyncio.run(run())
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains as it ends
        code = 0
    raise typer.Exit(code or 0)


async def run(
    function: Callable[..., Any], as_json: bool, squad: str | None, member: str | None, given: dict[str, Any]
) -> int:
    """Run what a command does, with a client, and say what it answers. Answers the exit code."""
    patience = wire.PATIENCE if "SQUAD_CLAIM" in os.environ else PATIENCE
    async with AsyncClient(squad=squad, member=member, patience=patience) as client:
        said = function(client, **given)
        if not isinstance(said, AsyncIterator):
            answer = await said
            _say(answer, as_json)
            return int(answer.code)
        code = 0
        with Passing(console()) as passing:
            async for answer in said:
                if answer.passing and not as_json:
                    passing.show(answer.view)
                else:
                    passing.show(None)
                    _say(answer, as_json, line=True)
                    code = answer.code
    return code


def _say(answer: Answer, as_json: bool, *, line: bool = False) -> None:
    if as_json:
        sys.stdout.buffer.write(to_json(answer.data, indent=None if line else 2) + b"\n")
        sys.stdout.flush()
    elif answer.view is not None:
        console().print(answer.view, soft_wrap=isinstance(answer.view, Text))  # the terminal folds what is text


class _Screen(Console):
    """Where people read, or whoever reads what they pipe."""

    def on_broken_pipe(self) -> None:
        """Leave it to `ending`."""
        raise BrokenPipeError


def console() -> Console:
    """Where people read."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH
    return _Screen(highlight=False, markup=False, soft_wrap=False, width=width)


def exit_code(error: SquadError) -> int:
    """The exit code of what was refused: 1 unless the kind of error has one."""
    return next((code for kind, code in EXIT.items() if isinstance(error, kind)), 1)
