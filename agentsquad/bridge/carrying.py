"""The traffic of one session: many messages under way at once, each of which the client may take back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

from agentsquad.bridge import lines, messages
from agentsquad.bridge.claims import Claims
from agentsquad.bridge.door import Door
from agentsquad.bridge.messages import INTERNAL_ERROR, INVALID_REQUEST, NO_ANSWER, Id, Message, Refused, Said
from agentsquad.bridge.posting import Posting
from agentsquad.client import AsyncClient

MOST: Final = 256  # messages under way at once
GRACE: Final = 3.0  # seconds for the answer to a claim that nobody waits for any more
ENDING: Final = 5.0  # seconds for all that is done when the client has gone away


@dataclass(eq=False)
class Call:
    """A message under way.

    Args:
        message: what was sent.
        wanted: whether the client still waits for its answer.
        grace: gives up a claim that nobody waits for any more, if no answer comes; None before that.
    """

    message: Message
    wanted: bool = True
    grace: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] = field(init=False)


class Bridge:
    """Carries messages between a client and the server.

    Args:
        door: which server, and as whom.
        client: acts as the same member.
        output: where the client reads.
        say: tells whoever reads the client's log.
    """

    def __init__(self, door: Door, client: AsyncClient, output: lines.Output, say: Callable[[str], None]) -> None:
        self._posting = Posting(door, self._tell)
        self._claims = Claims(client, say)
        self._output = output
        self._say = say
        self._calls: set[Call] = set()
        self._asked: dict[Id | None, Call] = {}  # of these the requests that are to be answered, by their ids
        self._reading: asyncio.Task[None] | None = None

    async def run(self, source: AsyncIterator[bytes | None]) -> None:
        """Carry every line until there is no more, or until it is stopped; then release what is held.

        A defect that ends the reading or the renewals is raised: a session without either is none.
        """
        renewing = asyncio.create_task(self._claims.renew())
        self._reading = asyncio.create_task(self._read(source))
        try:
            ended, _ = await asyncio.wait({self._reading, renewing}, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                if not task.cancelled():
                    task.result()
        finally:
            self.stop()
            renewing.cancel()
            await self._end()

    def stop(self) -> None:
        """Carry no more, as when the client goes away."""
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self, source: AsyncIterator[bytes | None]) -> None:
        async for line in source:
            try:
                self._begin(line)
            except Refused as refused:
                await self._write(refused.line())

    def _begin(self, line: bytes | None) -> None:
        if line is None:
            longest = f"{lines.LONGEST // 1024**2} MiB"
            raise Refused(INVALID_REQUEST, f"A message has at most {longest}; send less at once.")
        if not line.strip():
            return
        message = messages.parse(line)
        if message.method == messages.CANCELLED:
            self._take_back(self._asked.get(message.cancels))
            return
        if message.id in self._asked:
            raise Refused(INVALID_REQUEST, "A request with this id is under way; give each its own.", message.id)
        if message.id is not None and len(self._calls) >= MOST:
            raise Refused(NO_ANSWER, f"{MOST} requests are under way; wait for some answers first.", message.id)
        call = Call(message)
        if message.id is not None:
            self._asked[message.id] = call
        call.task = asyncio.create_task(self._carry(call))
        self._calls.add(call)
        call.task.add_done_callback(lambda _: self._let_go(call))

    async def _carry(self, call: Call) -> None:
        message = call.message
        try:
            said = await self._post(message)
        except Refused as refused:
            if message.id is None:
                self._say(f"{message.method or 'An answer'} was lost: {refused}")
                return
            line, claim = refused.line(), None
        else:
            if said is None:
                return
            line, claim = said.line(), self._claims.take(said.result) if message.claims else None
        self._asked.pop(message.id)
        if call.grace is not None:
            call.grace.cancel()  # the answer came, and the release takes as long as it takes
        if call.wanted:
            await self._write(line)
        elif claim is not None:
            await self._claims.release(claim)

    async def _post(self, message: Message) -> Said | None:
        try:
            return await self._posting.post(message)
        except Refused:
            raise
        except Exception as error:  # a defect costs its own request, and not the session
            kind = type(error).__name__  # what it says may quote the token
            raise Refused(INTERNAL_ERROR, f"The bridge failed ({kind}); report it.", message.id) from error

    async def _tell(self, message: Message, said: Said) -> None:
        if self._asked[message.id].wanted:
            await self._write(said.line())

    def _let_go(self, call: Call) -> None:
        self._calls.discard(call)
        if self._asked.get(call.message.id) is call:
            del self._asked[call.message.id]

    async def _write(self, line: bytes) -> None:
        try:
            await self._output.write(line)
        except OSError:  # nobody reads
            self.stop()

    def _take_back(self, call: Call | None) -> None:
        """Wait for the answer no more; a claim's is heard all the same, or the claim would be nobody's."""
        if call is None or not call.wanted:
            return
        call.wanted = False
        if call.message.claims:
            call.grace = asyncio.get_running_loop().call_later(GRACE, call.task.cancel)
        else:
            call.task.cancel()

    async def _end(self) -> None:
        calls = list(self._calls)
        for call in calls:
            self._take_back(call)
        try:
            async with asyncio.timeout(ENDING):
                await asyncio.gather(self._claims.release(), *(call.task for call in calls), return_exceptions=True)
        except TimeoutError:
            self._say("Not everything that is held could be released; it lapses by its lease.")
        with contextlib.suppress(OSError):
            await self._posting.close()
