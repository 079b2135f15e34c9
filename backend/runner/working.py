"""The work of an attempt: what the journal says is due is done, step by step, until the attempt is over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestParameters

from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.tasks import CompleteNew
from backend.core.database import Database
from backend.core.errors import LostClaim, Overloaded, SquadError
from backend.live.speech import Said, Speech
from backend.operations import members, squads, steps, tasks
from backend.operations.steps import Outcome
from backend.runner import cleaning, prompts, stalls, summaries
from backend.runner.conversations import Call
from backend.runner.errors import ModelFailed
from backend.runner.journal import Journal
from backend.runner.models import Models
from backend.runner.questions import Question
from backend.runner.telling import Telling
from backend.runner.tools import TOOLS, Holder, Tool
from backend.runner.toolsets import Toolsets


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


class Unhosted(Exception):
    """The member isn't the server's to run any more."""


class Work:
    """The work.

    Args:
        house: what it shares with other attempts.
        holder: the member and its claim.
        claim: as `tasks.claim` answered it.
    """

    def __init__(self, house: House, holder: Holder, claim: Mapping[str, Any]) -> None:
        self._house = house
        self._holder = holder
        self._claim = claim
        self._kind: str = claim["kind"]
        self._name = ""
        self._heard_of = 0  # steps of this attempt that are known to have brought something
        self.journal = Journal(house.database, holder, self._kind)

    async def do(self) -> None:
        """Work. It ends with an error only.

        Raises:
            Over: the attempt has ended.
            LostClaim: somebody else has ended it.
            Unhosted: the member isn't the server's to run any more.
            ModelFailed: the model can't be asked, or doesn't answer.
            SquadError: the database stays away.
        """
        me = await self.journal.read(members.me)
        squad = await self.journal.read(squads.get)
        if me is None or squad is None:
            raise Over
        if me["hosting"] is None:
            raise Unhosted
        hosting = Hosting.model_validate(me["hosting"])
        self._name = me["name"]
        await self.journal.load()
        before = [each for each in self.journal.attempts if each["ended_at"]]
        reason = stalls.to_and_fro(before) or stalls.idle(before, self.journal.heard)
        if reason:
            await self._stall(reason)
        telling = Telling(self.journal, self._holder, me)
        await telling.task(self._claim)
        try:
            model = await self._house.models.resolve(hosting)
        except ModelFailed as error:
            raise ModelFailed(error.detail, setup=True) from None
        async with Toolsets(hosting.tools, self._house.database.settings) as toolsets:
            outside = await toolsets.definitions()
            own = [tool.definition for tool in TOOLS.values() if self._kind in tool.kinds]
            rules = prompts.instructions(me, squad["name"], self._kind) + prompts.absent(toolsets.absent)
            parameters = ModelRequestParameters(function_tools=[*own, *outside])
            question = Question(self._house.models.name(hosting), hosting, model, parameters, rules)
            while True:
                await self._step(telling, question, toolsets)

    async def _step(self, telling: Telling, question: Question, toolsets: Toolsets) -> None:
        """Do what is due: a call, the end, or the question to the model."""
        due = self.journal.conversation()
        if due.pending:
            await self._call(due.pending[0], toolsets)
        elif due.final is None:
            await telling.news()
            await self._ask(question)
        elif not due.final or self._kind == "review":
            await self.journal.record("prompt", {"text": prompts.EMPTY if not due.final else prompts.DECIDE})
            await self._notice_quiet()
        else:
            await self._complete(due.final)

    async def _ask(self, question: Question) -> None:
        """Ask the model: reserve, ask, settle. No transaction is open meanwhile."""
        await self._notice_quiet()
        while summaries.is_due(question, self.journal):
            if not await self._put(*summaries.prepared(question, self.journal)):
                break
        await self._put(question, "answer", self.journal.conversation().messages)

    async def _put(self, question: Question, kind: str, heard: list[ModelMessage], content: Any = None) -> bool:
        """Put a question to the model, and its answer into the journal; False: it is none."""
        heard, tokens, cost = question.sized(heard)
        if not await self.journal.begin(kind, question.name, content, tokens=tokens, cost=cost):
            raise Over
        try:
            with self._speech() as speech:
                response = await question.put(heard, speech.add)
        except ModelFailed as error:
            await self.journal.end(question.failed(error))
            raise
        outcome = question.answered(response, content)
        if not await self.journal.end(outcome):
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
            attempt=self._holder.attempt,
            member=self._name,
            step=self.journal.next - 1,
        )

    async def _call(self, call: Call, toolsets: Toolsets) -> None:
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
        reason = stalls.repeats(self.journal.own, name, content["arguments"])
        if reason:
            await self._refuse(name, content, f"not done: {reason}")
            await self._stall(reason)
        tool = TOOLS.get(name)
        if tool and self._kind in tool.kinds:
            await self._act(tool, content)
        elif name in toolsets:
            await self.journal.begin("tool", name, content)
            result = await toolsets.call(name, arguments)
            if not await self.journal.end(Outcome(content | {"result": result, "error": False})):
                raise Over
        else:
            await self._refuse(name, content, f"not_found: you have no tool {name}.")

    async def _refuse(self, name: str, content: dict[str, Any], why: str) -> None:
        await self.journal.record("tool", content | {"result": why, "error": True}, name)

    async def _act(self, tool: Tool, content: dict[str, Any]) -> None:
        """Call a tool of the squad's; what it refuses is its result."""
        try:
            given = tool.given.model_validate(content["arguments"])
            ends = {"ends": True} if tool.ends else {}
            await self.journal.act(tool.name, content | ends, lambda session: tool.call(session, self._holder, given))
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
            await self.journal.record("prompt", {"text": prompts.LONG_RESULT})
            return
        await self.journal.transact(tasks.complete, self._holder.number, given)
        raise Over

    async def _notice_quiet(self) -> None:
        if len(self.journal.own) - self._heard_of >= stalls.QUIET:
            count = await self.journal.quiet()
            reason = stalls.quiet(count)
            if reason:
                await self._stall(reason)
            self._heard_of = len(self.journal.own) - count

    async def _stall(self, reason: str) -> None:
        await self.journal.transact(steps.stall, self._holder.claim, reason)
        raise Over
