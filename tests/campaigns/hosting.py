"""A long task of a hosted member, whom it asks and calls meanwhile, and what must be true of it in the end."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mcp.server import MCPServer

from agentsquad.schemas.hosting import Hosting, ToolServer
from agentsquad.schemas.members import MemberNew
from backend.core.database import Database
from backend.operations import members
from backend.runner.conversations import UNKNOWN
from tests.campaigns import checkers, dying
from tests.campaigns.checkers import State
from tests.campaigns.crew import Team
from tests.runner.standin import Answer, Body, planned
from tests.runner.toolshed import Shed, opened

PRESS = "outside__press"


def press(name: str) -> Answer:
    """A call of the tool with an effect outside."""
    return {"name": PRESS, "arguments": {"name": name}}


def say(body: str) -> Answer:
    """A call of the squad's tool for messages."""
    return {"name": "send_message", "arguments": {"task": 1, "body": body}}


def make(*titles: str) -> Answer:
    """A call of the squad's tool for tasks; for a role that nobody has."""
    return {"name": "create_tasks", "arguments": {"tasks": [{"title": title, "role": "nobody"} for title in titles]}}


def look(after: int) -> Answer:
    """A call of the squad's tool for lists."""
    return {"name": "list_tasks", "arguments": {"after": after}}


GET: Answer = {"name": "get_task", "arguments": {"number": 1}}
REFUSED: Answer = {"name": "get_task", "arguments": {"number": 99}}
RESULT = "All of it is done."
CALLS: list[list[Answer]] = [
    [make("north", "south"), look(0)],
    [say("begun")],
    [press("first")],
    [GET, say("looked")],
    [press("second"), make("east")],
    [look(1)],
    [say("nearly"), look(2)],
    [press("third"), say("pressed")],
    [make("west")],
    [GET, REFUSED],
]
PLAN: list[Answer] = [{"answer": number, "calls": calls} for number, calls in enumerate(CALLS, 1)]
PLAN.append({"answer": len(CALLS) + 1, "text": RESULT})
PLACES = {
    call["arguments"]["name"]: f"tool {number}.{index}"
    for number, calls in enumerate(CALLS, 1)
    for index, call in enumerate(calls)
    if call["name"] == PRESS
}


def points() -> list[str]:
    """Every point of the plan, in the order in which a runner gets there."""
    found = [f"prompt {phase}" for phase in dying.INSIDE]
    for number, step in enumerate(PLAN, 1):
        found += [f"answer {number} {phase}" for phase in dying.ANSWER]
        for index, call in enumerate(step.get("calls", ())):
            phases = dying.OUTSIDE if call["name"] == PRESS else dying.INSIDE
            found += [f"tool {number}.{index} {phase}" for phase in phases]
    return found + [f"completion {phase}" for phase in dying.COMPLETION]


def some(points: list[str]) -> list[str]:
    """Of these points those right after a step was begun or ended, and of the others every third."""
    plain = [point for point in points if point.rpartition(" ")[2] in ("begun", "ended", "acted", "completed")]
    others = [point for point in points if point not in plain]
    return [point for point in points if point in plain or others.index(point) % 3 == 0]


def ignore(_place: str) -> None:
    """Nobody has to die."""


@dataclass
class Outside:
    """The server of tools, and how often it was called with which name."""

    url: str = ""
    pressed: Counter[str] = field(default_factory=Counter)
    on_press: Callable[[str], None] = ignore


@asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    """Serve it."""
    there = Outside()

    def tools(_shed: Shed) -> MCPServer[Any]:
        server = MCPServer("outside")

        @server.tool()
        def press(name: str) -> str:
            there.pressed[name] += 1
            there.on_press(PLACES.get(name, name))
            return f"{name} was pressed"

        return server

    async with opened(Shed(), tools=tools) as shed:
        there.url = shed.url
        yield there


async def host(database: Database, team: Team, name: str, model_url: str, tools_url: str, role: str = "") -> None:
    """Add a hosted member."""
    hosting = Hosting(model="small", base_url=model_url, tools=[ToolServer(name="outside", url=tools_url)])
    new = MemberNew(name=name, kind="hosted", role=role, hosting=hosting)
    await database.transact(members.add, team.owner, team.squad, new)


@dataclass
class Model:
    """A model that follows the plan, and which of its answers were asked for, with what."""

    asked: list[tuple[int, Body]] = field(default_factory=list)
    on_asked: Callable[[str], None] = ignore

    def __call__(self, body: Body) -> Answer:
        """The next answer of the plan."""
        answer = planned(PLAN, body)
        self.asked.append((answer["answer"], body))
        self.on_asked(f"answer {answer['answer']}")
        return answer


def steps(after: State, number: int = 1) -> list[dict[str, Any]]:
    """The journal of a task."""
    found = {
        int(key.partition("/")[2]): step for key, step in after.tables["steps"].items() if key.startswith(f"{number}/")
    }
    return [found[step] for step in sorted(found)]


def wrong(after: State, model: Model, outside: Outside, crashes: list[str]) -> list[str]:
    """All that is wrong with the task after crashes at these points."""
    return [
        *unfinished(after),
        *gaps(after),
        *repaid(after, model, crashes),
        *redone(after),
        *repressed(after, outside),
        *untold(after, model),
        *misbooked(after),
        *checkers.torn(after),
    ]


def unfinished(after: State) -> list[str]:
    """Whether it has another result than it has to."""
    task = after.tasks[1]
    good = (task["status"], task["result"]) == ("done", RESULT) and after.completions[1] == 1
    return [] if good else [f"#1 is {task['status']} with {task['result']}, completed {after.completions[1]} times"]


def gaps(after: State) -> list[str]:
    """Numbers that are missing in journals."""
    found = []
    for number in after.tasks:
        numbers = [step["step"] for step in steps(after, number)]
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(f"the steps of #{number} are {numbers}")
    return found


def repaid(after: State, model: Model, crashes: list[str]) -> list[str]:
    """Answers that were asked for more often than whoever asked died before they were in the journal, or less often."""
    lost = [point.split() for point in crashes if point.startswith("answer")]
    due = Counter(range(1, len(PLAN) + 1)) + Counter(int(n) for _, n, phase in lost if phase in ("asked", "ending"))
    calls = Counter(number for number, _ in model.asked)
    found = [f"answer {n} was asked for {calls[n]} times, not {due[n]}" for n in due | calls if calls[n] != due[n]]
    states = Counter(step["state"] for step in steps(after) if step["kind"] == "answer")
    unknown = sum(phase in ("begun", "asked", "ending") for _, _, phase in lost)
    if states != Counter({"finished": len(PLAN), "unknown": unknown}):
        found.append(f"the journal has answers {dict(states)}, and not {len(PLAN)} and {unknown} unknown ones")
    return found


def redone(after: State) -> list[str]:
    """Effects inside of the squad that are there twice, or not at all."""
    calls = [call for calls in CALLS for call in calls]
    titles = [task["title"] for call in calls for task in call["arguments"].get("tasks", ())]
    bodies = [call["arguments"]["body"] for call in calls if "body" in call["arguments"]]
    there = Counter(task["title"] for number, task in after.tasks.items() if number > 1)
    said = Counter(message["body"] for message in after.tables["messages"].values())
    logged = Counter(event["kind"] for event in after.events if event["kind"] in ("task.created", "message.sent"))
    found = [f"#1 made {dict(there)}, and not {titles}"] if there != Counter(titles) else []
    found += [f"#1 said {dict(said)}, and not {bodies}"] if said != Counter(bodies) else []
    if logged != {"task.created": len(titles) + 1, "message.sent": len(bodies)}:
        found.append(f"the log has {dict(logged)}")
    return found


def repressed(after: State, outside: Outside) -> list[str]:
    """Effects outside that happened twice, or otherwise than the journal has it."""
    found = [f"{name} was pressed {times} times" for name, times in outside.pressed.items() if times > 1]
    calls = {step["content"]["arguments"]["name"]: step for step in steps(after) if step["name"] == PRESS}
    for name in PLACES:
        known = calls.get(name, {}).get("state") == "finished"
        if name not in calls or (known and not outside.pressed[name]):
            found.append(f"the journal doesn't have what became of {name}")
    return found


def untold(after: State, model: Model) -> list[str]:
    """Results of which the model heard something else than what the journal has: what is unknown, as unknown."""
    journal = {step["step"]: step for step in steps(after)}
    heard = {each["tool_call_id"]: each["content"] for each in model.asked[-1][1]["messages"] if each["role"] == "tool"}
    found = []
    for step in journal.values():
        if step["kind"] == "tool":
            parts = journal[step["content"]["answer"]]["content"]["message"]["parts"]
            calls = [part["tool_call_id"] for part in parts if part["part_kind"] == "tool-call"]
            told = heard.get(calls[step["content"]["index"]])
            due = step["content"]["result"] if step["state"] == "finished" else UNKNOWN
            if step["state"] != "finished" or step["content"]["error"]:
                due = json.dumps({"error": due}, separators=(",", ":"))
            found += [f"step {step['step']} was told as {told}, not {due}"] if told != due else []
    return found


def misbooked(after: State) -> list[str]:
    """Where what is booked isn't the sum of the steps, or where something is reserved for nobody."""
    found = []
    paid: dict[str, Counter[str]] = {}
    for key, step in after.tables["steps"].items():
        if step["kind"] in ("answer", "summary"):
            task: int | None = int(key.partition("/")[0])
            known = step["input_tokens"] is not None
            tokens = step["input_tokens"] + step["output_tokens"] if known else step["reserved_tokens"]
            above = ["0"]
            while task is not None:
                above.append(str(task))
                task = after.tasks[task]["parent"]
            for each in above:
                paid.setdefault(each, Counter()).update(calls=1, tokens=tokens)
    for number in paid.keys() | after.tables["budgets"].keys():
        budget, due = after.tables["budgets"][number], paid.get(number, Counter())
        if (budget["calls"], budget["tokens"]) != (due["calls"], due["tokens"]):
            found.append(f"budget {number} says {budget}, and its steps {dict(due)}")
        if budget["reserved_calls"] or budget["reserved_tokens"] or budget["reserved_cost"]:
            found.append(f"budget {number} reserves {json.dumps(budget)}")
    return found
