"""How a hosted member is run: the options that several commands share."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from agentsquad.cli import words
from agentsquad.client import Invalid, checked
from agentsquad.schemas.hosting import Hosting, ModelSettings
from agentsquad.schemas.members import Member

Model = Annotated[
    str | None,
    typer.Option(metavar="PROVIDER:MODEL", help="What the server runs it with; `default` is the server's own."),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="An OpenAI-compatible server in place of the provider's own; '' for none."),
]
OPTIONS: Final[dict[str, Any]] = {
    "model": Model,
    "base_url": BaseUrl,
    "temperature": Annotated[float | None, typer.Option(help="How freely the model chooses its words: 0 to 2.")],
    "max_tokens": Annotated[int | None, typer.Option(help="Tokens of an answer, at most.")],
    "timeout": Annotated[int | None, typer.Option(help="Seconds that a call of the model may take.")],
    "window": Annotated[int | None, typer.Option(help="Tokens that the model can read.")],
    "tool": Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=URL", help="An MCP server that it may use; may be repeated, '' for none."),
    ],
}


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were typed."""
    return {name: value for name, value in options.items() if value not in (None, [])}


def made(options: Mapping[str, Any], before: Hosting | None) -> Hosting | None:
    """How a member is run from now on.

    Args:
        options: what was typed; what isn't stays as it was.
        before: how it was run; None: not at all.

    Raises:
        Invalid: an option can't be used.
    """
    typed = given(options)
    if not typed:
        return before
    how = before.model_dump() if before else {}
    settings = {name: typed.pop(name) for name in ModelSettings.model_fields if name in typed}
    how["settings"] = checked(ModelSettings, **how.get("settings", {}) | settings)
    if "tool" in typed:
        how["tools"] = [_tool(each) for each in typed.pop("tool") if each]
    if "base_url" in typed:
        how["base_url"] = typed.pop("base_url") or None
    return checked(Hosting, **how | typed)


def described(member: Member) -> list[str]:
    """How a member is run, in lines for people; none if the server doesn't."""
    if member.hosting is None:
        return []
    settings = member.hosting.settings.model_dump(exclude_none=True)
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())
    tools = [f"tools of {tool.name} at {tool.url}" for tool in member.hosting.tools]
    return [words.line(said) for said in (f"model {words.model(member)}: {facts}", *tools)]


def _tool(given: str) -> dict[str, str]:
    name, equals, url = given.partition("=")
    if not equals:
        raise Invalid("invalid", f"tool can't be used: {words.line(given)} is no NAME=URL.")
    return {"name": name, "url": url}
