"""`asq mcp` as clients start it, before a real server: the official client, and processes that are killed."""

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.inbound import encode_header_value

from agentsquad import tokens
from agentsquad.bridge import posting
from agentsquad.client import AsyncClient
from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.squads import SquadEdit, SquadNew
from agentsquad.schemas.tasks import Attempt, TaskNew
from tests.cli.conftest import ASQ, Type, serving
from tests.cli.test_processes import until
from tests.conftest import new_database

PATIENCE = 60.0
MODES = ("legacy", "2026-07-28")
LEASE = 2


@pytest.fixture
async def owner(web: str) -> AsyncIterator[AsyncClient]:
    """The owner of a squad with short leases and three tasks; the token of its member `ada` is kept here."""
    async with AsyncClient() as owner:
        await owner.update_squad(SquadEdit(lease_seconds=LEASE))
        await keep(owner)
        await owner.create_tasks([TaskNew(title=title, role="tester") for title in ("one", "two", "three")])
        yield owner


async def keep(owner: AsyncClient, member: str = "ada") -> str:
    squad = await owner.squad()
    token = await owner.create_token(member)
    tokens.keep(owner.url, str(squad.id), squad.name, member, token.secret, str(token.id))
    return token.secret


async def last(owner: AsyncClient, number: int = 1) -> Attempt:
    return (await owner.attempts(number))[-1]


def command(squad: str, member: str = "ada") -> list[str]:
    return [*ASQ, "mcp", "--as", member, "--squad", squad]


@contextlib.asynccontextmanager
async def joined(squad: str, mode: str = MODES[1], member: str = "ada") -> AsyncIterator[Client]:
    """A session of the official client."""
    program, *arguments = command(squad, member)
    environment = {name: value for name, value in os.environ.items() if name not in {"SQUAD_API_KEY", "SQUAD_URL"}}
    parameters = StdioServerParameters(command=program, args=arguments, env=environment)
    async with Client(stdio_client(parameters), mode=mode) as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return result.structured_content


class Process:
    """The bridge as a process, and a client of few words."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._id = 0

    async def call(self, tool: str, **arguments: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._id += 1
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": self._id, "method": "tools/call", "params": params}
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            said = json.loads(await self.process.stdout.readline())
        assert said["id"] == self._id
        return said

    async def result(self, tool: str, **arguments: Any) -> Any:
        return (await self.call(tool, **arguments))["result"]["structuredContent"]

    async def end(self) -> tuple[int | None, str]:
        """Its exit code, and all that it still said."""
        async with asyncio.timeout(PATIENCE):
            out, err = await self.process.communicate()
        return self.process.returncode, (out + err).decode()


@contextlib.asynccontextmanager
async def started(squad: str, member: str = "ada", **environment: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *command(squad, member), env=os.environ | environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        yield Process(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("mode", MODES)
async def test_a_task_goes_its_way(owner: AsyncClient, web: str, mode: str) -> None:
    async with joined(web, mode) as ada:
        listed = [tool.model_dump_json(by_alias=True) for tool in (await ada.list_tools()).tools]
        assert len(listed) == 15
        assert "x-mcp-header" not in "".join(listed)  # what it names would have to be sent as headers, too
        assert (await call(ada, "whoami"))["name"] == "ada"
        claimed = await call(ada, "claim_task")
        assert (claimed["claim"], claimed["lease_seconds"]) == ("1/1", LEASE)
        assert (await call(ada, "complete_task", claim="1/1", result={"ö": "\u2028"}))["status"] == "done"
        stale = await ada.call_tool("complete_task", {"claim": "1/1"})
        assert (stale.is_error, (stale.structured_content or {})["code"]) == (True, "lost_claim")
        assert "web" in str((await ada.read_resource("squad://board")).contents[0])
        assert (await ada.get_prompt("start")).messages
        with pytest.raises(Exception, match="no such prompt"):
            await ada.get_prompt("ö\r\n")
    assert (await owner.task(1)).result == {"ö": "\u2028"}


async def test_a_claim_is_held_beyond_its_lease_and_released_when_the_client_closes(
    owner: AsyncClient, web: str
) -> None:
    async with joined(web, MODES[0]) as ada:
        await call(ada, "claim_task")
        await beyond(owner, 1)
    attempt = await last(owner)
    assert (attempt.outcome, attempt.reason) == ("released", "The client went away.")
    task = await owner.task(1)
    assert (task.status, task.tries_left) == ("todo", 3)


async def beyond(owner: AsyncClient, number: int) -> None:
    """Wait until a lease has been renewed for longer than it lasts."""
    first = (await owner.task(number)).lease_ends_at
    assert first is not None

    async def renewed() -> bool:
        task = await owner.task(number)
        assert (task.status, task.attempt) == ("in_progress", 1)
        assert task.lease_ends_at is not None
        return (task.lease_ends_at - first).total_seconds() > 1.5 * LEASE

    await until(renewed, PATIENCE)


async def test_of_two_windows_each_holds_its_own(owner: AsyncClient, web: str) -> None:
    async with joined(web) as one:
        await call(one, "claim_task")
        async with joined(web) as two:
            assert (await call(two, "claim_task"))["claim"] == "2/1"
            assert (await call(one, "whoami"))["claims"] == ["1/1", "2/1"]
        assert (await last(owner, 2)).outcome == "released"
        await beyond(owner, 1)
    assert (await last(owner, 1)).outcome == "released"


async def test_what_a_killed_window_held_lapses(owner: AsyncClient, web: str) -> None:
    async with started(web) as killed, joined(web) as other:
        assert (await killed.result("claim_task"))["claim"] == "1/1"
        await call(other, "claim_task")
        killed.process.kill()

        async def lapsed() -> bool:
            return (await last(owner, 1)).outcome == "lapsed"

        await until(lapsed, PATIENCE)
        assert (await last(owner, 2)).outcome is None
    assert (await owner.task(1)).tries_left == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_releases_what_is_held_and_nothing_tells_the_token(
    owner: AsyncClient, web: str, number: signal.Signals
) -> None:
    secret = await keep(owner)
    async with started(web) as ada:
        said = json.dumps(await ada.call("claim_task"))
        assert secret not in said + " ".join(psutil.Process(ada.process.pid).cmdline())
        ada.process.send_signal(number)
        assert await ada.end() == (0, "")
    assert (await last(owner)).outcome == "released"


async def test_a_revoked_token_opens_nothing_and_the_answer_says_what_to_do(owner: AsyncClient, web: str) -> None:
    secret = await keep(owner)
    async with started(web) as ada:
        await ada.result("whoami")
        for token in await owner.tokens("ada"):
            await owner.revoke_token("ada", str(token.id))

        async def shut() -> Any:
            return "error" in await ada.call("whoami")

        await until(shut)  # a server remembers a token for a second
        error = (await ada.call("whoami"))["error"]
        squad = (await owner.squad()).id
        assert error["message"] == (
            f"{owner.url} doesn't let ada in (This key is unknown or revoked; make a new one); "
            f"run `asq connect CLIENT --squad {squad} --as ada` again, then start the client anew."
        )
        assert error["data"] == {"code": "unauthenticated"}
        assert secret not in json.dumps(error)


@pytest.mark.parametrize("member", ["ada", "tess"])
async def test_who_is_named_speaks_and_else_whose_token_is_in_the_environment(
    owner: AsyncClient, web: str, member: str
) -> None:
    await owner.add_member(MemberNew(name="tess", role="tester"))
    secret = (await owner.create_token("tess")).secret
    async with started(web, member, SQUAD_TOKEN=secret) as named:  # only ada's token is kept
        assert (await named.result("whoami"))["name"] == member


async def test_a_person_s_key_is_never_used(owner: AsyncClient, web: str) -> None:
    async with started(web, member="tess") as tess:  # SQUAD_API_KEY is set
        message = (await tess.call("whoami"))["error"]["message"]
        assert f"run `asq connect CLIENT --squad {web} --as tess` again" in message


def test_who_it_is_for_has_to_be_said(web: str, typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    done = typed("mcp")
    assert (done.code, done.out, done.err) == (2, "", "As whom? Say --as NAME and --squad SQUAD.\n")
    monkeypatch.delenv("SQUAD_ID")
    assert typed("mcp", "--as", "ada").code == 2


async def test_tokens_that_others_can_read_are_not_used(owner: AsyncClient, web: str, typed: Type) -> None:
    (Path(os.environ["SQUAD_HOME"]) / tokens.FILE).chmod(0o644)
    done = await asyncio.to_thread(typed, "mcp", "--as", "ada")
    assert (done.code, done.out) == (1, "")
    assert "can be read by others; run `chmod 600 " in done.err


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_that_is_given_up_leaves_the_session_as_it_is(owner: AsyncClient, web: str, mode: str) -> None:
    async with joined(web, mode) as ada:
        for number in (1, 2, 3):
            assert (await call(ada, "claim_task"))["claim"] == f"{number}/1"
        waiting = asyncio.create_task(call(ada, "wait", seconds=50))
        await call(ada, "whoami")
        waiting.cancel()
        await asyncio.wait({waiting})
        assert (await call(ada, "whoami"))["claims"] == ["1/1", "2/1", "3/1"]


async def test_a_restart_in_the_middle_of_a_wait_is_not_seen(
    server_url: str, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "site"
    monkeypatch.setenv("SQUAD_ID", "web")
    with new_database(server_url, template) as database, contextlib.ExitStack() as servers:
        site, process = servers.enter_context(serving(home, database))
        async with AsyncClient(site.url, site.key) as owner, contextlib.AsyncExitStack() as windows:
            await owner.create_squad(SquadNew(name="web", lease_seconds=60))
            await owner.add_member(MemberNew(name="ada", role="tester"))
            await keep(owner)
            await owner.create_tasks([TaskNew(title=mode, role="tester") for mode in MODES])
            sessions = [await windows.enter_async_context(joined("web", mode)) for mode in MODES]
            claims = [(await call(ada, "claim_task"))["claim"] for ada in sessions]
            waiting = asyncio.gather(*(call(ada, "wait", seconds=50) for ada in sessions))
            for ada in sessions:
                await call(ada, "whoami")
            process.kill()
            process.wait()
            again = serving(home, database, int(site.url.rpartition(":")[2]))
            await asyncio.to_thread(servers.enter_context, again)
            await owner.create_tasks([TaskNew(title="more", role="tester")])
            async with asyncio.timeout(PATIENCE):
                assert [said["work"] for said in await waiting] == [True, True]
            for ada, claim in zip(sessions, claims, strict=True):
                assert (await call(ada, "complete_task", claim=claim))["status"] == "done"


@given(st.text())
def test_names_are_coded_as_the_official_client_codes_them(name: str) -> None:
    with contextlib.suppress(UnicodeEncodeError):  # of what is no text in UTF-8
        assert posting._field(name).decode() == encode_header_value(name)


async def test_it_takes_little_memory(owner: AsyncClient, web: str) -> None:
    async with started(web) as ada:
        await ada.result("whoami")
        assert psutil.Process(ada.process.pid).memory_info().rss < 100 * 1024**2
