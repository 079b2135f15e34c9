"""The house rules that no tool enforces. Each checker is tried on a planted violation as well."""

import ast
import asyncio
import dataclasses
import functools
import gc
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import typer
from fastapi.routing import iter_route_contexts
from sqlalchemy import Select, literal, select
from sqlalchemy.dialects import postgresql
from typer.core import TyperGroup

from agentsquad import cli, client
from agentsquad.schemas import events as event_schemas
from backend import operations
from backend.app import app
from backend.core import errors, statements
from backend.interfaces.http.errors import PLAIN, STATUS
from backend.interfaces.mcp.errors import NEXT
from backend.interfaces.mcp.server import TOOLS
from backend.models import Squad, User
from backend.operations import events, messages, tasks
from backend.operations.access import Actor, SquadRef, scope
from backend.operations.tasks import Wanted

REPOSITORY = Path(__file__).parents[1]
Find = Callable[[ast.Module], Iterator[int]]


@pytest.fixture(autouse=True)
def undisturbed() -> Iterator[None]:
    """Python 3.11's parser fails when the garbage collector ends a greenlet in the middle of it."""
    gc.disable()
    yield
    gc.enable()


def modules(*rooms: str) -> list[Path]:
    return [file for room in rooms for file in sorted((REPOSITORY / room).rglob("*.py"))]


def found(find: Find, files: list[Path], *exceptions: str) -> list[str]:
    """Where `find` finds something, as `file:line`."""
    assert files
    return [
        f"{name}:{line}"
        for file in files
        if not (name := str(file.relative_to(REPOSITORY))).startswith(exceptions or "\0")
        for line in find(ast.parse(file.read_text(encoding="utf-8")))
    ]


def calls(name: str) -> Find:
    """Calls of a function or a method of this name."""

    def find(tree: ast.Module) -> Iterator[int]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func
                if (getattr(called, "attr", None) or getattr(called, "id", None)) == name:
                    yield node.lineno

    return find


def names(name: str) -> Find:
    """Any use or import of a name."""

    def find(tree: ast.Module) -> Iterator[int]:
        for node in ast.walk(tree):
            used = (getattr(node, attribute, None) for attribute in ("id", "attr", "name"))
            if name in used:
                yield getattr(node, "lineno", 0)

    return find


def imports_of(*packages: str) -> Find:
    """Imports of a package, early or late."""

    def find(tree: ast.Module) -> Iterator[int]:
        for node in ast.walk(tree):
            given = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                given = [str(node.module)]
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
                given = [str(getattr(node.args[0], "value", ""))]
            if any(each.split(".")[0] in packages for each in given):
                yield getattr(node, "lineno", 0)

    return find


def relative_imports(tree: ast.Module) -> Iterator[int]:
    return (node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level)


def late_imports(tree: ast.Module) -> Iterator[int]:
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from (node.lineno for node in ast.walk(function) if isinstance(node, (ast.Import, ast.ImportFrom)))


@pytest.mark.parametrize(
    ("find", "planted"),
    [
        (calls("commit"), "async def f(session):\n    await session.commit()"),
        (calls("select"), "import sqlalchemy as sa\nsa.select(1)"),
        (calls("select"), "select(User)"),
        (names("HTTPException"), "from fastapi import HTTPException"),
        (names("HTTPException"), "raise fastapi.HTTPException(404)"),
        (imports_of("backend"), "from backend.core import errors"),
        (imports_of("backend"), "def f():\n    importlib.import_module('backend.core')"),
        (relative_imports, "from . import users"),
        (late_imports, "class A:\n    def f(self):\n        if True:\n            import os"),
    ],
)
def test_the_checkers_find_what_they_look_for(find: Find, planted: str) -> None:
    assert list(find(ast.parse(planted)))
    assert not list(find(ast.parse("import os\nbackend = commits(selected)")))


def test_only_the_database_commits() -> None:
    # Migrations run outside the application, on a connection of their own.
    assert (
        found(calls("commit"), modules("agentsquad", "backend"), "backend/core/database.py", "backend/migrations") == []
    )


def test_http_errors_stay_in_their_room() -> None:
    assert found(names("HTTPException"), modules("agentsquad", "backend"), "backend/interfaces/http") == []


def test_each_route_is_built_once() -> None:
    # FastAPI builds those of a router that is included a second time, for each application and at its first request.
    assert found(calls("include_router"), modules("backend")) == []


def test_interfaces_hold_no_query() -> None:
    for name in ("select", "text", "execute", "scalar", "scalars"):
        # The sync route runs an operation's query itself: it is the example of doing so.
        assert found(calls(name), modules("backend/interfaces"), "backend/interfaces/http/users.py") == []
    assert found(calls("select"), modules("backend/interfaces")) == []


def test_imports_are_absolute_and_at_the_top() -> None:
    assert found(relative_imports, modules("agentsquad", "backend", "benchmarks", "tests")) == []
    assert found(late_imports, modules("agentsquad", "backend")) == []


def test_the_client_knows_nothing_of_the_server() -> None:
    assert found(imports_of("backend"), modules("agentsquad")) == []


def test_only_the_runner_loads_the_libraries_of_models() -> None:
    # They take seconds to load, and what they know of keys and addresses stays in one room.
    libraries = imports_of("anthropic", "fastmcp", "genai_prices", "httpx2", "openai", "pydantic_ai")
    assert found(libraries, modules("agentsquad", "backend"), "backend/runner") == []


def test_migrations_stand_alone_and_are_dated() -> None:
    versions = modules("backend/migrations/versions")
    assert found(imports_of("backend", "agentsquad"), versions) == []
    assert [file.name for file in versions if not re.fullmatch(r"\d{4}_\d\d_\d\d_\w+\.py", file.name)] == []


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    lengths = {
        file: file.read_text(encoding="utf-8").count("\n") for file in modules("agentsquad", "backend", "benchmarks")
    }
    # A revision holds whole SQL functions, as they were on its day.
    long = [str(file) for file, lines in lengths.items() if lines > 400 and file.parent.name != "versions"]
    assert long == []


def test_every_sql_file_begins_with_what_it_is_for() -> None:
    files = sorted((REPOSITORY / "backend").rglob("*.sql"))
    assert files
    assert [file.name for file in files if not file.read_text(encoding="utf-8").startswith("-- ")] == []


def lint_imports(configuration: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--no-cache", "--no-logo", "--config", str(configuration)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_every_arrow_points_down() -> None:
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert {contract["type"] for contract in contracts["contracts"]} == {"layers", "forbidden"}
    result = lint_imports(REPOSITORY / "pyproject.toml")
    assert (result.returncode, " 0 broken" in result.stdout) == (0, True), result.stdout


def test_an_arrow_that_points_up_is_found(tmp_path: Path) -> None:
    upside_down = tmp_path / "upside_down.ini"
    upside_down.write_text(
        "[importlinter]\nroot_package = backend\n[importlinter:contract:1]\nname = Upside down\ntype = layers\n"
        "layers =\n    backend.core\n    backend.operations\n",
        encoding="utf-8",
    )
    result = lint_imports(upside_down)
    assert (result.returncode, "Upside down BROKEN" in result.stdout) == (1, True), result.stdout + result.stderr


# One name a noun, in every room; what is no noun of the domain, and why it is there.
NOUNS = {"users", "squads", "members", "tasks", "messages", "events", "steps", "budgets"}
ROOMS = {
    "agentsquad/schemas": {
        "errors": "the wire's shape of an error",
        "exports": "a squad as a file",
        "fields": "kinds of field",
        "hosting": "how a hosted member is run",
        "limits": "figures",
    },
    "backend/models": {"base": "what every table shares", "idempotency": "answers to requests that may come again"},
    "backend/operations": {
        "access": "who may see what",
        "documents": "JSON that PostgreSQL builds",
        "exports": "a squad as a file",
        "functions": "calling the SQL functions",
        "idempotency": "a request that comes again",
        "imports": "a squad that comes as a file",
        "keys": "of users and of members, so of neither file",
        "sessions": "keys of browsers",
        "templates": "files, and what is in them",
    },
    "backend/interfaces/dashboard": {
        "door": "the page's own application",
        "errors": "the table from error to page",
        "forms": "what browsers send",
        "graph": "the board, drawn",
        "guards": "headers, and who may change anything",
        "layout": "where a graph's tasks stand",
        "pages": "templates and files",
        "sessions": "as in operations",
        "visits": "who looks at which squad",
        "words": "times and states in words",
    },
    "backend/interfaces/http": {
        "answers": "JSON that PostgreSQL built",
        "crowding": "how many requests at once",
        "bodies": "how large they may be",
        "dependencies": "what routes ask for",
        "errors": "the table from error to status",
        "exports": "a squad as a file, both ways",
        "health": "of the process, not of the domain",
        "hot": "the lean way to read",
        "keys": "as in operations",
        "sessions": "as in operations",
    },
    "backend/interfaces/mcp": {
        "callers": "who calls",
        "door": "the way in",
        "errors": "the table from error to answer",
        "holding": "as in operations",
        "prompts": "of the protocol",
        "resources": "of the protocol",
        "server": "what there is",
        "shapes": "what tools take and answer",
        "tools": "functions that a model calls",
    },
}
# Nouns of which a room has nothing to say: accounts have no page, steps stand on their task's and budgets on the
# members', and a member's tools have only its own squad, where only the server's own members keep a journal.
WITHOUT = {
    "backend/interfaces/dashboard": {"users", "steps", "budgets"},
    "backend/interfaces/mcp": {"users", "squads", "events", "steps", "budgets"},
}


@pytest.mark.parametrize("room", ROOMS)
def test_a_noun_has_the_same_file_name_in_every_room(room: str) -> None:
    files = {file.stem for file in (REPOSITORY / room).glob("*.py")}
    files |= {file.parent.name for file in (REPOSITORY / room).glob("*/__init__.py")}
    assert files - {"__init__"} == NOUNS - WITHOUT.get(room, set()) | ROOMS[room].keys()


def operation_modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(operations.__path__, f"{operations.__name__}.")
    return [importlib.import_module(each.name) for each in found]


def functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    own = inspect.getmembers(module, lambda value: inspect.isfunction(value) and value.__module__ == module.__name__)
    noun = module.__name__.removeprefix(f"{operations.__name__}.").partition(".")[0]  # a folder is one noun
    return {f"{noun}.{name}": each for name, each in own if not name.startswith("_")}


# Asked by the server itself: whom a credential stands for, where a lease is over, and for whom it runs a model.
FOR_NOBODY = {"keys.user_of", "keys.member_of", "tasks.over", "tasks.waiting", "tasks.live", "events.behind"}
# A member or an account is compared with the actor. The owner of a squad is no member for that alone.
CONDITION = re.compile(r"\b(members|mine|users|api_keys)(_\d+)?\.(user_)?id = :actor__(user|member)_id\b")


def conditional(query: Callable[..., Any]) -> bool:
    """Whether a read asks for the actor, whatever it is given."""
    placeholders, _ = statements._placeholders(query)
    statement = query(*placeholders).compile(dialect=postgresql.dialect(paramstyle="named"))  # type: ignore[no-untyped-call]
    return CONDITION.search(str(statement)) is not None


def queries() -> dict[str, Callable[..., Any]]:
    """Every operation that reads."""
    return {
        name: each
        for module in operation_modules()
        for name, each in functions(module).items()
        if inspect.get_annotations(each, eval_str=True)["return"] in (statements.AnySelect, Select[Any])
        if name.partition(".")[0] != "documents"  # parts of reads
    } | {
        "tasks.page": tasks.page(*(field.name for field in dataclasses.fields(Wanted))),
        "events.after": events.after("task", "kinds"),
        "events.told": events.told("task", "kinds"),
        "messages.page": messages.page("task"),
        "messages.inbox": messages.inbox("unread"),
    }


def test_every_maker_of_queries_is_among_them() -> None:
    makers = {
        name
        for module in operation_modules()
        for name, each in inspect.getmembers(module)
        if isinstance(each, functools._lru_cache_wrapper) and each.__module__ == module.__name__
    } - {"every", "_parts", "_signs"}  # of templates and of globs, which ask nothing
    assert makers == {name.partition(".")[2] for name in queries()} & {"page", "after", "told", "inbox"}


def test_every_read_asks_for_the_actor() -> None:
    found = queries()
    assert {
        "users.get",
        "squads.get",
        "squads.page",
        "tasks.get",
        "tasks.board",
        "members.page",
        "events.after",
    } <= set(found)
    assert {name for name, query in found.items() if not conditional(query)} == FOR_NOBODY


def test_a_read_that_forgets_the_actor_is_found() -> None:
    def forgets(actor: Actor, user_id: str) -> Any:
        return select(User.id).where(User.id == user_id)

    def only_sorts(actor: Actor, squad: SquadRef) -> Any:
        return select(Squad.id).where(Squad.name == squad.name).order_by(Squad.owner_id == actor.user_id)

    def asks(actor: Actor, squad: SquadRef) -> Any:
        return select(literal(1)).where(Squad.id == scope(actor, squad))

    assert [conditional(query) for query in (forgets, only_sorts, asks)] == [False, False, True]


def kinds(base: type[errors.SquadError] = errors.SquadError) -> Iterator[type[errors.SquadError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_error_has_a_status_and_a_code_of_its_own() -> None:
    ours = [kind for kind in kinds() if kind.__module__ == errors.__name__]
    codes = [kind.code for kind in ours]
    assert set(ours) == set(STATUS) == set(NEXT)
    assert len(set(codes)) == len(codes)
    assert {code for code, _ in PLAIN.values()} - set(codes) == {"method_not_allowed", "internal"}


MEMBER = "/squads/{squad}/members/{member}"
SQUAD, TASK = "/squads/{squad}", "/squads/{squad}/tasks/{number}"


class Verb(NamedTuple):
    """What an operation is called in the other rooms."""

    method: str
    path: str
    call: str
    command: str | None
    event: str | None
    tool: str | None = None


# One verb has one name in every room.
VERBS = {
    "users.create": Verb("POST", "/users", "create_user", "user add", None),
    "users.update": Verb("PATCH", "/users/{user_id}", "update_user", None, None),
    "keys.create": Verb("POST", "/keys", "create_key", "key new", None),
    "keys.revoke": Verb("DELETE", "/keys/{key_id}", "revoke_key", "key revoke", None),
    "sessions.create_link": Verb("POST", "/links", "create_link", "open", None),
    "squads.create": Verb("POST", "/squads", "create_squad", "squad create", "squad.created"),
    "squads.update": Verb("PATCH", SQUAD, "update_squad", "squad edit", "squad.updated"),
    "squads.pause": Verb("POST", f"{SQUAD}/pause", "pause_squad", "squad pause", "squad.paused"),
    "squads.resume": Verb("POST", f"{SQUAD}/resume", "resume_squad", "squad resume", "squad.resumed"),
    "squads.archive": Verb("POST", f"{SQUAD}/archive", "archive_squad", "squad archive", "squad.archived"),
    "squads.unarchive": Verb("POST", f"{SQUAD}/unarchive", "unarchive_squad", "squad unarchive", "squad.unarchived"),
    "exports.squad": Verb("GET", f"{SQUAD}/export", "export_squad", "squad export", None),
    "imports.squad": Verb("POST", "/squads/import", "import_squad", "squad import", "squad.imported"),
    "members.add": Verb("POST", f"{SQUAD}/members", "add_member", "member add", "member.added"),
    "members.update": Verb("PATCH", MEMBER, "update_member", "member edit", "member.updated"),
    "members.pause": Verb("POST", f"{MEMBER}/pause", "pause", "member pause", "member.paused"),
    "members.resume": Verb("POST", f"{MEMBER}/resume", "resume", "member resume", "member.resumed"),
    "members.retire": Verb("POST", f"{MEMBER}/retire", "retire", "member retire", "member.retired"),
    "members.create_token": Verb("POST", f"{MEMBER}/tokens", "create_token", "member token", "member.token_created"),
    "members.revoke_token": Verb(
        "DELETE", f"{MEMBER}/tokens/{{token_id}}", "revoke_token", "member revoke", "member.token_revoked"
    ),
    "tasks.create": Verb("POST", f"{SQUAD}/tasks", "create_tasks", "task create", "task.created", "create_tasks"),
    "tasks.claim": Verb("POST", f"{TASK}/claim", "claim", "task claim", "task.claimed", "claim_task"),
    "tasks.heartbeat": Verb("POST", f"{TASK}/heartbeat", "heartbeat", "task heartbeat", None),
    "tasks.heartbeat_all": Verb("POST", f"{SQUAD}/tasks/heartbeat", "heartbeat_all", None, None),
    "tasks.create_token": Verb("POST", f"{TASK}/token", "create_attempt_token", None, None),
    "tasks.complete": Verb("POST", f"{TASK}/complete", "complete", "task complete", "task.completed", "complete_task"),
    "tasks.fail": Verb("POST", f"{TASK}/fail", "fail", "task fail", "task.failed", "fail_task"),
    "tasks.release": Verb("POST", f"{TASK}/release", "release", "task release", "task.released", "release_task"),
    "tasks.handoff": Verb("POST", f"{TASK}/handoff", "handoff", "task handoff", "task.handed_off", "handoff_task"),
    "tasks.wait_for_children": Verb(
        "POST", f"{TASK}/wait", "wait_for_children", "task wait", "task.waiting", "wait_for_children"
    ),
    "tasks.accept": Verb("POST", f"{TASK}/accept", "accept", "task accept", "task.accepted", "review_task"),
    "tasks.reject": Verb("POST", f"{TASK}/reject", "reject", "task reject", "task.rejected", "review_task"),
    "tasks.ask": Verb("POST", f"{TASK}/ask", "ask", "ask", "task.created", "ask_human"),
    "tasks.answer": Verb("POST", f"{TASK}/answer", "answer", "answer", "task.completed"),
    "tasks.add_dependency": Verb(
        "PUT", f"{TASK}/dependencies/{{other}}", "add_dependency", "task depend", "task.updated"
    ),
    "tasks.remove_dependency": Verb(
        "DELETE", f"{TASK}/dependencies/{{other}}", "remove_dependency", "task undepend", "task.updated"
    ),
    "tasks.update": Verb("PATCH", TASK, "update_task", "task edit", "task.updated"),
    "tasks.cancel": Verb("POST", f"{TASK}/cancel", "cancel", "task cancel", "task.cancelled"),
    "tasks.retry": Verb("POST", f"{TASK}/retry", "retry", "task retry", "task.retried"),
    "tasks.block": Verb("POST", f"{TASK}/block", "block", "task block", "task.blocked"),
    "tasks.resume": Verb("POST", f"{TASK}/resume", "resume_task", "task resume", "task.resumed"),
    "budgets.set_squad": Verb("PUT", f"{SQUAD}/budget", "set_budget", "budget", "squad.budget_set"),
    "budgets.set_task": Verb("PUT", f"{TASK}/budget", "set_task_budget", "budget", "task.budget_set"),
    "messages.send": Verb("POST", f"{SQUAD}/messages", "send", "send", "message.sent", "send_message"),
    "messages.mark_read": Verb("POST", f"{MEMBER}/read", "mark_read", None, None),
    "messages.acknowledge": Verb("POST", f"{MEMBER}/ack", "ack", "ack", "message.acknowledged", "fetch_inbox"),
}
# Commands that are another verb's, or no write at all.
OTHER_COMMANDS = {
    "login", "logout", "whoami", "use", "connect", "board", "why", "inbox", "feed", "log", "work", "mcp", "pause",
    "resume", "run", "squad list", "squad show", "template list", "template show", "member list", "member show",
    "member tokens", "task list", "task show", "task assign", "usage", "user list", "key list",
}  # fmt: skip
OTHER_TOOLS = {"whoami", "list_tasks", "get_task", "wait"}  # they read
# Not a caller's verbs: a part of the others, or the server's own. Only a runner writes steps, and it is in the server.
INNER = {
    "access.enter",
    "documents.document",
    "events.append",
    "functions.call",
    "functions.on_board",
    "idempotency.forget",
    "idempotency.once",
    "imports.hold",
    "imports.lay_out",
    "imports.make_rows",
    "members.clock",
    "members.join",
    "members.let_go_all",
    "members.of_name",
    "members.see",
    "messages.require_live",
    "sessions.begin",
    "sessions.end",
    "sessions.exchange",
    "steps.act",
    "steps.begin",
    "steps.end",
    "steps.record",
    "steps.stall",
    "steps.suspend",
    "tasks.claim_hosted",
    "tasks.lapse",
    "tasks.renew",
    "tasks.overlapping",
    "users.first",
    "users.recover",
}
CONSEQUENCES = {"task.unblocked", "task.lapsed", "task.stuck", "step.started", "step.ended"}


def commands(group: Any, *path: str) -> Iterator[str]:
    """What can be typed, but for the server's own verbs."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name))


def unlike(verbs: dict[str, Verb]) -> Iterator[str]:
    """Where the rooms don't say what the table says."""
    writes = {
        name
        for module in operation_modules()
        for name, each in functions(module).items()
        if asyncio.iscoroutinefunction(each)
    }
    yield from (f"operation {name}" for name in (writes - INNER) ^ verbs.keys())
    routes = {str(route.name): (route.methods, str(route.path_format)) for route in iter_route_contexts(app.routes)}
    for name, verb in verbs.items():
        if routes.get(name.replace(".", "_")) != ({verb.method}, verb.path):
            yield f"route of {name}"
        call = getattr(client.AsyncClient, verb.call, None)
        if not (inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)):
            yield f"call {verb.call}"
    typed = {verb.command for verb in verbs.values() if verb.command}
    there = set(commands(typer.main.get_command(cli.app))) - OTHER_COMMANDS
    yield from (f"command {name}" for name in typed ^ there)
    named = {verb.tool for verb in verbs.values() if verb.tool}
    yield from (f"tool {name}" for name in named ^ ({tool.name for tool in TOOLS} - OTHER_TOOLS))
    told = {verb.event for verb in verbs.values() if verb.event}
    yield from (f"event {kind}" for kind in (told | CONSEQUENCES) ^ set(event_schemas.kinds()))


def test_a_verb_has_the_same_name_in_every_room() -> None:
    assert list(unlike(VERBS)) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"call": "finish"}, ["call finish"]),
        ({"command": "task finish"}, ["command task complete", "command task finish"]),
        ({"command": None}, ["command task complete"]),
        ({"tool": "finish_task"}, ["tool complete_task", "tool finish_task"]),
        ({"path": f"{TASK}/finish"}, ["route of tasks.complete"]),
    ],
)
def test_a_verb_with_another_name_is_found(changes: dict[str, Any], found: list[str]) -> None:
    verb = VERBS["tasks.complete"]._replace(**changes)
    assert sorted(unlike(VERBS | {"tasks.complete": verb})) == found


def test_a_verb_that_is_missing_is_found() -> None:
    without = {name: verb for name, verb in VERBS.items() if name != "messages.acknowledge"}
    assert sorted(unlike(without)) == [
        "command ack", "event message.acknowledged", "operation messages.acknowledge", "tool fetch_inbox"
    ]  # fmt: skip
