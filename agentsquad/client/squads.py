"""Squads, their boards, and the templates that they are made from."""

from agentsquad.client.wire import Wire
from agentsquad.schemas.members import PauseNew
from agentsquad.schemas.squads import Squad, SquadEdit, SquadNew, Squads, Template, Templates
from agentsquad.schemas.tasks import Board


class SquadCalls(Wire):
    """What is asked of squads."""

    async def squads(self) -> list[Squad]:
        """One's squads, each with its owner and its members, by name."""
        return [squad async for squad in self._items(Squads, "/squads")]

    async def squad(self, squad: str | None = None) -> Squad:
        """A squad with its owner and its members, by id or name; by default the one that is spoken of."""
        return await self._ask(Squad, "GET", await self._path(squad=squad))

    async def create_squad(self, new: SquadNew) -> Squad:
        """Make a squad, from nothing or from a template; one owns it."""
        return await self._ask(Squad, "POST", "/squads", new)

    async def update_squad(self, edit: SquadEdit) -> Squad:
        """Change the squad's name, lease or tries."""
        return await self._ask(Squad, "PATCH", await self._path(), edit)

    async def pause_squad(self, *, now: bool = False) -> Squad:
        """Let nobody claim anything; with `now` live attempts end, which uses no try."""
        return await self._ask(Squad, "POST", await self._path("pause"), PauseNew(now=now))

    async def resume_squad(self) -> Squad:
        """Let a paused squad go on."""
        return await self._ask(Squad, "POST", await self._path("resume"))

    async def archive_squad(self) -> Squad:
        """End the squad's work: it can only be read from now on."""
        return await self._ask(Squad, "POST", await self._path("archive"))

    async def unarchive_squad(self) -> Squad:
        """Open an archived squad again."""
        return await self._ask(Squad, "POST", await self._path("unarchive"))

    async def board(self) -> Board:
        """What has not ended, and what ended last; and the log's position that it shows."""
        return await self._ask(Board, "GET", await self._path("board"))

    async def templates(self) -> list[Template]:
        """What squads can be made from, by name."""
        return (await self._ask(Templates, "GET", "/templates")).items
