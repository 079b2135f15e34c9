"""The claims that this process took: renewed while it lives, released when it ends."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import httpx

from agentsquad.client import AsyncClient, SquadError
from agentsquad.schemas import limits

LEFT: Final = "The client went away."


class Claims:
    """What is held, and until when it is to be renewed.

    Args:
        client: acts as the member, and doesn't give up while the server is away.
        say: tells whoever reads the client's log.
    """

    def __init__(self, client: AsyncClient, say: Callable[[str], None]) -> None:
        self._client = client
        self._say = say
        self._leases: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._more = asyncio.Event()

    def take(self, result: dict[str, Any]) -> str | None:
        """Hold what a result of `claim_task` says was claimed. Answers the claim's handle; None: nothing was."""
        content = None if result.get("isError") else result.get("structuredContent")
        if not isinstance(content, dict) or not isinstance(claim := content.get("claim"), str):
            return None
        lease = content.get("lease_seconds")
        self._leases[claim] = lease if isinstance(lease, int) and lease > 0 else limits.LEASE
        self._due[claim] = asyncio.get_running_loop().time()  # now: an answer that is repeated may be old
        self._more.set()
        return claim

    async def renew(self) -> None:
        """Renew each at once and then every third of its lease, without an end."""
        clock = asyncio.get_running_loop().time
        while True:
            self._more.clear()
            due = [claim for claim, at in self._due.items() if at <= clock()]
            for claim in due:
                self._put_off(claim)
            for start in range(0, len(due), limits.HEARTBEATS):
                await self._beat(due[start : start + limits.HEARTBEATS])
            at = min(self._due.values(), default=None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(at):
                    await self._more.wait()

    async def release(self, *claims: str) -> None:
        """Give them back, or all that there are; what is held no more is nobody's concern."""
        ending = claims or tuple(self._leases)
        for claim in ending:
            self._forget(claim)
        await asyncio.gather(*(self._release(claim) for claim in ending))

    async def _release(self, claim: str) -> None:
        with contextlib.suppress(SquadError, httpx.HTTPError):
            await self._client.release(claim, LEFT)

    async def _beat(self, claims: list[str]) -> None:
        try:
            beats = await self._client.heartbeat_all(claims)
        except (SquadError, httpx.HTTPError) as error:  # such as a token that was revoked: then they lapse
            self._say(f"{', '.join(claims)} can't be renewed: {error}")
            return
        for beat in beats:
            if not beat.live:
                self._forget(beat.claim)

    def _put_off(self, claim: str) -> None:
        self._due[claim] = asyncio.get_running_loop().time() + self._leases[claim] / 3

    def _forget(self, claim: str) -> None:
        self._leases.pop(claim, None)
        self._due.pop(claim, None)
