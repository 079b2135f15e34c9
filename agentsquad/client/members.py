"""Members and their tokens."""

from agentsquad.client.errors import checked
from agentsquad.client.wire import Wire
from agentsquad.schemas.members import Me, Member, MemberEdit, MemberNew, Members, PauseNew, Token, TokenNew, Tokens
from agentsquad.schemas.users import KeySecret


class MemberCalls(Wire):
    """What is asked of members."""

    async def me(self) -> Me:
        """Oneself in the squad: how many messages wait, and what one holds."""
        return await self._ask(Me, "GET", await self._path("members", "me"))

    async def members(self) -> list[Member]:
        """The members of the squad, by name, also those who were retired."""
        return [member async for member in self._items(Members, await self._path("members"))]

    async def member(self, member: str) -> Member:
        """One member, by id or name."""
        return await self._ask(Member, "GET", await self._path("members", member))

    async def add_member(self, new: MemberNew) -> Member:
        """Add a member."""
        return await self._ask(Member, "POST", await self._path("members"), new)

    async def update_member(self, member: str, edit: MemberEdit) -> Member:
        """Change a member's name, role, instructions or how it is run."""
        return await self._ask(Member, "PATCH", await self._path("members", member), edit)

    async def pause(self, member: str, *, now: bool = False) -> Member:
        """Let a member claim nothing more; with `now` its live attempts end, which uses no try."""
        return await self._ask(Member, "POST", await self._path("members", member, "pause"), PauseNew(now=now))

    async def resume(self, member: str) -> Member:
        """Let a paused member claim again."""
        return await self._ask(Member, "POST", await self._path("members", member, "resume"))

    async def retire(self, member: str) -> Member:
        """End a member for good: its attempts end, its tasks are anybody's, its tokens are dead."""
        return await self._ask(Member, "POST", await self._path("members", member, "retire"))

    async def tokens(self, member: str) -> list[Token]:
        """A member's tokens, without their secrets, newest first."""
        return (await self._ask(Tokens, "GET", await self._path("members", member, "tokens"))).items

    async def create_token(self, member: str, name: str = "") -> KeySecret:
        """Make a token that acts as a member."""
        return await self._ask(
            KeySecret, "POST", await self._path("members", member, "tokens"), checked(TokenNew, name=name)
        )

    async def revoke_token(self, member: str, token_id: str) -> None:
        """End a member's token: it is dead everywhere within a second."""
        await self._answer("DELETE", await self._path("members", member, "tokens", token_id))
