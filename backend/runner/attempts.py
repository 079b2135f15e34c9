"""One attempt of a hosted member: what the journal says is due is done, step by step, until the attempt is over."""

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.messages import AcknowledgeNew
from agentsquad.schemas.tasks import CompleteNew, FailNew, HeartbeatNew, ReleaseNew
from backend.core.database import Database
from backend.core.errors import Archived, LostClaim, NotFound, Overloaded, SquadError
from backend.live.speech import Said, Speech
from backend.operations import members, messages, squads, steps, tasks
from backend.operations.access import ME, MemberRef
from backend.operations.steps import Outcome
from backend.runner import cleaning, prompts, stalls, summaries
from backend.runner.conversations import Call
from backend.runner.errors import ModelFailed
from backend.runner.journal import Journal
from backend.runner.models import Models
from backend.runner.questions import Question
from backend.runner.tools import TOOLS, Holder, Tool
from backend.runner.toolsets import Toolsets

BEATS: Final = 3  # heartbeats in the time of a lease
NEWS: Final = 20  # messages that a model is told at once
THREAD: Final = 20  # messages of the task's thread that come with it
# How an attempt ended whose conversation goes on as if nothing had been: the model needn't hear of it.
UNNOTICED: Final = ("lapsed", "released", "paused", "blocked")
STOPS: Final = "The runner stops; another one goes on from the last step."
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class House:
    """What all attempts of a process share.

    Args:
        database: the board and the journal.
        models: the ways to models.
        say: is given the pieces of answers as they come.
    """

    database: Database
    models: Models
    say: Callable[[Said], None]


class Over(Exception):
    """The attempt has ended, and nothing is left to do."""


class Attempt:
    """A claim of a hosted member, until it has ended.

    Args:
        house: what it shares with the others.
        holder: the member and its claim.
        claim: as `tasks.claim` answered it.
    """

    def __init__(self, house: House, holder: Holder, claim: Mapping[str, Any]) -> None:
        self._house = house
        self._database = house.database
        self._holder = holder
        self._claim = claim
        self._kind: str = claim["kind"]
        self._journal = Journal(house.database, holder, self._kind)
        self._me: dict[str, Any] = {}
        self._instructions = ""
        self._working: asyncio.Task[None] | None = None
        self._draining = False
        self._heard_of = 0  # steps of this attempt that are known to have brought something

    async def run(self) -> None:
        """Work until the attempt has ended, whoever ends it.

        Nothing that goes wrong leaves here: it ends the attempt with a reason, and what isn't known is logged.
        """
        self._working = asyncio.create_task(self._work())
        beat = asyncio.create_task(self._beat())
        try:
            await self._working
        except asyncio.CancelledError:
            if self._draining:
                await self._give_back()
        except (Over, LostClaim):
            pass
        except ModelFailed as error:
            if error.setup:
                await self._suspend(error.detail)
            else:
                await self._give_up(error.detail, retry=error.passing)
        except SquadError as error:
            log.warning("#%s stopped: %s", self._holder.number, error.detail)
            await self._give_up(error.detail, retry=True)
        except Exception:
            log.exception("The attempt %s of a hosted member failed.", self._holder.claim)
            await self._give_up("The runner has a defect; its log says more.", retry=True)
        finally:
            beat.cancel()
            await asyncio.wait([beat])

    def lose(self) -> None:
        """Stop at once: the attempt was ended by somebody else."""
        if self._working:
            self._working.cancel()

    def drain(self) -> None:
        """Stop at once, and give the claim back."""
        self._draining = True
        self.lose()

    async def _work(self) -> None:
        reads, holder = self._database.reads, self._holder
        me = await self._journal.patiently(lambda: reads.json(members.me, holder.actor, holder.squad))
        squad = await self._journal.patiently(lambda: reads.json(squads.get, holder.actor, holder.squad))
        if me is None or squad is None:
            raise Over
        self._me = json.loads(me)
        self._instructions = prompts.instructions(self._me, json.loads(squad)["name"], self._kind)
        hosting = Hosting.model_validate(self._me["hosting"] or {})
        await self._journal.load()
        before = [each for each in self._journal.attempts if each["ended_at"]]
        reason = stalls.to_and_fro(before) or stalls.idle(before, self._journal.heard)
        if reason:
            await self._stall(reason)
        await self._open()
        try:
            model = await self._house.models.resolve(hosting)
        except ModelFailed as error:
            await self._suspend(error.detail)
            return
        async with Toolsets(hosting.tools, self._database.settings) as toolsets:
            outside = await toolsets.definitions()
            self._instructions += prompts.absent(toolsets.absent)
            while True:
                await self._step(hosting, model, toolsets, outside)

    async def _step(self, hosting: Hosting, model: Model, toolsets: Toolsets, outside: list[ToolDefinition]) -> None:
        """Do what is due: a call, the end, or a question to the model."""
        due = self._journal.conversation()
        if due.pending:
            await self._call(due.pending[0], toolsets, {each.name for each in outside})
        elif due.final is None:
            await self._hear()
            await self._ask(hosting, model, outside)
        elif not due.final or self._kind == "review":
            await self._journal.record("prompt", {"text": prompts.EMPTY if not due.final else prompts.DECIDE})
            await self._notice_quiet()
        else:
            await self._complete(due.final)

    async def _open(self) -> None:
        """Tell the model of the task, unless it goes on where another runner was stopped, and finds it unchanged."""
        before = self._journal.before
        unnoticed = all(each["outcome"] in UNNOTICED for each in self._journal.since)
        if before and unnoticed and prompts.stands(self._journal.told, self._claim["task"]):
            return
        again = before is not None and before["member"] == self._me["name"]
        reads, holder = self._database.reads, self._holder
        team = await self._journal.patiently(lambda: reads.json(members.team, holder.actor, holder.squad))
        thread = await self._journal.patiently(
            lambda: reads.json(messages.thread_end, holder.actor, holder.squad, holder.number, THREAD)
        )
        text = prompts.task(self._claim, self._me, _items(team), _items(thread), again=again)
        mine = [each for each in _items(thread) if self._me["name"] in each["recipients"]]
        await self._journal.hear({"text": text, "new": not again}, self._acknowledged(mine))

    async def _hear(self) -> None:
        """Tell the model what was written to it meanwhile: about this task, or about none."""
        reads, holder = self._database.reads, self._holder
        inbox = messages.inbox("unread", "task")
        me = MemberRef(None, ME)
        unread = _items(
            await self._journal.patiently(
                lambda: reads.json(inbox, holder.actor, holder.squad, me, 0, NEWS, holder.number)
            )
        )
        if unread:
            await self._journal.hear({"text": prompts.news(unread)}, self._acknowledged(unread))

    def _acknowledged(self, told: list[dict[str, Any]]) -> Callable[[AsyncSession], Awaitable[Any]]:
        holder = self._holder

        async def acknowledge(session: AsyncSession) -> None:
            if told:
                given = AcknowledgeNew(messages=[each["position"] for each in told])
                await messages.acknowledge(session, holder.actor, holder.squad, ME, given)

        return acknowledge

    async def _ask(self, hosting: Hosting, model: Model, outside: list[ToolDefinition]) -> None:
        """Ask the model: reserve, ask, settle. No transaction is open meanwhile."""
        await self._notice_quiet()
        own = [tool.definition for tool in TOOLS.values() if self._kind in tool.kinds]
        parameters = ModelRequestParameters(function_tools=[*own, *outside])
        question = Question(self._house.models.name(hosting), hosting, model, parameters, self._instructions)
        window = await self._house.models.window(hosting)
        while summaries.is_due(question, self._journal, window):
            if not await self._put(*summaries.prepared(question, self._journal, window)):
                break
        await self._put(question, "answer", self._journal.conversation().messages)

    async def _put(self, question: Question, kind: str, heard: list[ModelMessage], content: Any = None) -> bool:
        """Put a question to the model, and its answer into the journal; False: it is none."""
        heard, tokens, cost = question.sized(heard)
        if not await self._journal.begin(kind, question.name, content, tokens=tokens, cost=cost):
            raise Over
        try:
            with self._speech() as speech:
                response = await question.put(heard, speech.add)
        except ModelFailed as error:
            await self._journal.end(question.failed(error))
            raise
        outcome = question.answered(response, content)
        if not await self._journal.end(outcome):
            raise Over
        return outcome.state == "finished"

    def _speech(self) -> Speech:
        """Tells whoever follows what the model says in the step that has begun."""
        squad_id = self._holder.squad.id
        assert squad_id is not None
        return Speech(
            self._house.say,
            squad_id,
            task=self._holder.number,
            attempt=self._journal.attempt,
            member=self._me["name"],
            step=self._journal.next - 1,
        )

    async def _call(self, call: Call, toolsets: Toolsets, outside: set[str]) -> None:
        """Make a call that the model wants, once."""
        name = call.part.tool_name
        content: dict[str, Any] = {"answer": call.answer, "index": call.index}
        try:
            arguments = call.part.args_as_dict(raise_if_invalid=True)
        except ValueError:
            content |= {"arguments": call.part.args_as_json_str()}
            await self._refuse(name, content, "invalid: the arguments are no JSON object.")
            return
        content |= {"arguments": cleaning.json(arguments)}
        reason = stalls.repeats(self._journal.own, name, content["arguments"])
        if reason:
            await self._refuse(name, content, f"not done: {reason}")
            await self._stall(reason)
        tool = TOOLS.get(name)
        if tool and self._kind in tool.kinds:
            await self._act(tool, content)
        elif name in outside:
            await self._journal.begin("tool", name, content)
            result = await toolsets.call(name, arguments)
            if not await self._journal.end(Outcome(content | {"result": result, "error": False})):
                raise Over
        else:
            await self._refuse(name, content, f"not_found: you have no tool {name}.")

    async def _refuse(self, name: str, content: dict[str, Any], why: str) -> None:
        await self._journal.record("tool", content | {"result": why, "error": True}, name)

    async def _act(self, tool: Tool, content: dict[str, Any]) -> None:
        """Call a tool of the squad's; what it refuses is its result."""
        try:
            given = tool.given.model_validate(content["arguments"])
            ends = {"ends": True} if tool.ends else {}
            await self._journal.act(tool.name, content | ends, lambda session: tool.call(session, self._holder, given))
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            await self._refuse(tool.name, content, f"invalid: {said}")
        except (LostClaim, Overloaded):
            raise
        except SquadError as error:
            await self._refuse(tool.name, content, f"{error.code}: {error.detail}")
        else:
            if tool.ends:
                raise Over

    async def _complete(self, result: str) -> None:
        try:
            given = CompleteNew(claim=self._holder.claim, result=result)
        except ValidationError:
            await self._journal.record("prompt", {"text": prompts.LONG_RESULT})
            return
        await self._transact(tasks.complete, self._holder.number, given)
        raise Over

    async def _notice_quiet(self) -> None:
        if len(self._journal.own) - self._heard_of >= stalls.QUIET:
            count = await self._journal.quiet()
            reason = stalls.quiet(count)
            if reason:
                await self._stall(reason)
            self._heard_of = len(self._journal.own) - count

    async def _stall(self, reason: str) -> None:
        await self._transact(steps.stall, self._holder.claim, reason)
        raise Over

    async def _give_up(self, reason: str, *, retry: bool = False) -> None:
        """End the attempt with a reason. A review can't fail: whoever reviews is paused instead."""
        if self._kind == "review":
            await self._suspend(reason)
            return
        with contextlib.suppress(SquadError):  # it has ended already, or lapses
            given = FailNew(claim=self._holder.claim, reason=reason, retry=retry)
            await self._transact(tasks.fail, self._holder.number, given)

    async def _suspend(self, reason: str) -> None:
        with contextlib.suppress(SquadError):
            await self._transact(steps.suspend, self._holder.claim, reason)

    async def _give_back(self) -> None:
        with contextlib.suppress(SquadError):
            given = ReleaseNew(claim=self._holder.claim, reason=STOPS)
            await self._transact(tasks.release, self._holder.number, given)

    async def _beat(self) -> None:
        """Renew the lease for as long as the attempt is live."""
        given = HeartbeatNew(claim=self._holder.claim)
        while True:
            await asyncio.sleep(self._claim["lease_seconds"] / BEATS)
            try:
                holder = self._holder
                await self._database.transact(tasks.heartbeat, holder.actor, holder.squad, holder.number, given)
            except (LostClaim, NotFound, Archived):
                self.lose()
            except SquadError as error:
                log.warning("The lease of %s could not be renewed: %s", self._holder.claim, error.detail)

    async def _transact(self, operation: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        holder = self._holder
        write = functools.partial(self._database.transact, operation, holder.actor, holder.squad, *args)
        return await self._journal.patiently(write)


def _items(page: bytes | None) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(page)["items"] if page else []
    return items
