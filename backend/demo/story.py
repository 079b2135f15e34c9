"""What happens in the demo, each beat as soon as the log says that it is time for it."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from agentsquad.client import AsyncClient
from agentsquad.schemas.events import Event
from agentsquad.schemas.tasks import Task
from backend.demo import planner
from backend.demo.processes import SERVER, Processes
from backend.demo.show import Show

LEASE: Final = 3  # seconds
MODEL: Final = "offline:rehearsal"  # of the lead: fixed rules, which need no network and no key
FIRST: Final = 1  # number of the lead's task
SECOND: Final = 2  # of the planner's, whose result is the report
READING: Final = "Read every module"  # the task for which all others wait
KILLED: Final = "rob"
STOPPED: Final = "rio"
RANKING: Final = "Say where to start"  # the task during which the server is killed
PATIENCE: Final = 10.0  # seconds until the question is answered by itself


class Story:
    """The demo's beats.

    Args:
        client: the owner's.
        processes: what runs.
        show: where it is seen.
        start: lets the workers come.
    """

    def __init__(
        self, client: AsyncClient, processes: Processes, show: Show, start: Callable[[], Awaitable[None]]
    ) -> None:
        self._client = client
        self._start = start
        self._processes = processes
        self._show = show
        self._titles: dict[int, str] = {}
        self._killed = 0  # number of the task that its holder was killed over
        self._stopped = 0
        self._restarted = 0  # the position at which the server was killed
        self.refused = 0  # results that came too late

    async def follow(self) -> Task:
        """Follow the log until the lead's task is done, and let happen what has to. Answers the planner's."""
        async with contextlib.aclosing(self._client.feed()) as events:
            async for event in events:
                self._show.event(event, self._titles)
                await self._react(event)
                self._show.board(await self._client.board())
                if event.kind == "task.completed" and event.task == FIRST:
                    return await self._client.task(SECOND)
        raise AssertionError

    async def _react(self, event: Event) -> None:
        if 0 < self._restarted < event.position:
            self._show.beat(4, f"the server is back; the feed went on at {event.position}, nothing missed")
            self._restarted = 0
        match event.kind:
            case "task.created":
                self._titles[event.data.number] = event.data.title
                if event.data.title == planner.QUESTION:
                    await self._question(event.data.number)
            case "task.waiting" if event.task == FIRST:
                who = f"{event.actor.member}, whom the server itself runs ({MODEL}),"
                self._show.beat(1, f"{who} gave #{FIRST} to the planner as #{SECOND}, and waits for it")
                await self._start()
            case "task.waiting" if not self._killed:
                split = f"{event.actor.member} split #{event.task} into {len(self._titles) - SECOND} tasks"
                self._show.beat(1, f"{split} with dependencies; five workers take them")
            case "task.claimed":
                await self._claimed(event)
            case "task.completed" if event.task == self._stopped and event.actor.member != STOPPED:
                await self._wake(event)
            case _:
                pass

    async def _claimed(self, event: Event) -> None:
        number, member, title = event.task or 0, event.actor.member, self._titles[event.task or 0]
        if (event.attempt or 0) > 1 and number in {self._killed, self._stopped}:
            beat = 2 if number == self._killed else 3
            self._show.beat(beat, f"#{number} lapsed after {LEASE} s, attempt {event.attempt} by {member}")
            if number == self._killed:
                await self._why()
        elif member == KILLED and not self._killed and title != READING:
            self._killed = number
            self._processes.send(KILLED, signal.SIGKILL)
            self._show.beat(2, f"{KILLED} is killed with SIGKILL while it holds #{number}; its lease ends by itself")
        elif member == STOPPED and self._killed and not self._stopped:
            self._stopped = number
            self._processes.send(STOPPED, signal.SIGSTOP)
            self._show.beat(3, f"{STOPPED} is stopped with SIGSTOP while it holds #{number}, for longer than its lease")
        elif title == RANKING and event.attempt == 1:
            await self._restart(event.position)

    async def _wake(self, event: Event) -> None:
        """Let the worker that slept hand in what it has, and see that it is refused."""
        before = len(self._processes.said(STOPPED))
        self._processes.send(STOPPED, signal.SIGCONT)
        late = f"#{event.task}: attempt {(event.attempt or 0) - 1} ended: lapsed"
        async with asyncio.timeout(PATIENCE):
            while late not in self._processes.said(STOPPED)[before:]:  # noqa: ASYNC110  (another process writes)
                await asyncio.sleep(0.02)
        self.refused += 1
        who = event.actor.member
        self._show.beat(3, f"{STOPPED} woke and handed in #{event.task}: lost_claim; what counts is {who}'s")

    async def _restart(self, position: int) -> None:
        """Kill the server in the middle, and start it again where it was."""
        self._show.beat(4, f"the server is killed with SIGKILL, at position {position}")
        self._processes.send(SERVER, signal.SIGKILL)
        self._restarted = position
        await self._processes.serve(urlsplit(self._client.url).port or 0)

    async def _why(self) -> None:
        """Type a question for whoever watches."""
        last = max(self._titles)
        self._show.beat(5, f"$ asq why {last}")
        self._show.say(await self._processes.ask("why", str(last)), "bold")

    async def _question(self, number: int) -> None:
        """Ask whoever watches; nobody there is an answer, too."""
        self._show.beat(6, f'{planner.QUESTION} "{planner.CHOICES[1]}", or Enter for "{planner.CHOICES[0]}"')
        answer = await self._show.ask(PATIENCE)
        said = answer if answer in planner.CHOICES else planner.CHOICES[0]
        self._show.say(f'$ asq answer {number} "{said}"', "bold")
        await self._client.answer(number, said)
