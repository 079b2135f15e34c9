"""Accounts and their API keys."""

from agentsquad.client.errors import checked
from agentsquad.client.wire import Wire, path
from agentsquad.schemas.users import Key, KeyNew, Keys, KeySecret, User, UserEdit, UserNew, Users


class UserCalls(Wire):
    """What is asked of accounts and keys."""

    async def user(self, user_id: str = "me") -> User:
        """An account; by default one's own."""
        return await self._ask(User, "GET", path("users", user_id))

    async def users(self) -> list[User]:
        """All accounts, for an administrator; oneself for others."""
        return [user async for user in self._items(Users, "/users")]

    async def create_user(self, new: UserNew) -> User:
        """Make an account. Administrators only; `create_key` gives it a key."""
        return await self._ask(User, "POST", "/users", new)

    async def update_user(self, user_id: str, edit: UserEdit) -> User:
        """Change an account. Administrators only."""
        return await self._ask(User, "PATCH", path("users", user_id), edit)

    async def keys(self, *, user_id: str | None = None) -> list[Key]:
        """One's own API keys, newest first, or, as an administrator, those of another account."""
        address = "/keys" if user_id is None else path("users", user_id, "keys")
        return (await self._ask(Keys, "GET", address)).items

    async def create_key(self, name: str = "", *, user_id: str | None = None) -> KeySecret:
        """Make an API key, for oneself or, as an administrator, for another account."""
        address = "/keys" if user_id is None else path("users", user_id, "keys")
        return await self._ask(KeySecret, "POST", address, checked(KeyNew, name=name))

    async def revoke_key(self, key_id: str) -> None:
        """End an API key: it is dead everywhere within a second."""
        await self._answer("DELETE", path("keys", key_id))
