"""`asq work`: what the command gets, and what becomes of what it prints."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentsquad.cli import prompts
from agentsquad.cli.attempts import Attempt, Stdin, Work
from agentsquad.client import AsyncClient
from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.squads import SquadEdit
from agentsquad.schemas.tasks import Claim, Task, TaskNew
from tests.cli.conftest import Asq, Start, starting, type_apart
from tests.cli.test_processes import ended, until
from tests.client.ways import Way


@pytest.fixture
def asq(web: str) -> Asq:
    """Type a command in the squad."""
    return type_apart


@pytest.fixture
def start(web: str) -> Iterator[Start]:
    """Start a command in the squad, which the end of the test ends."""
    with starting() as start:
        yield start


@pytest.fixture
async def squad(web: str) -> AsyncIterator[AsyncClient]:
    """A squad with a member `ada` and leases of a second."""
    async with AsyncClient() as client:
        await client.update_squad(SquadEdit(lease_seconds=1))
        yield client


async def given(squad: AsyncClient, **task: Any) -> None:
    await squad.create_tasks([TaskNew(**{"title": "Cart is lost"} | task)])


async def one(squad: AsyncClient, asq: Asq, *arguments: str, number: int = 1) -> Task:
    """Work on one task and look at it then."""
    done = await asyncio.to_thread(asq, "work", "--as", "ada", "--once", *arguments)
    assert done.returncode == 0, done.stderr
    return await squad.task(number)


async def test_what_it_prints_is_the_result(squad: AsyncClient, asq: Asq) -> None:
    await given(squad)
    task = await one(squad, asq, "--", "echo", "mended")
    assert (task.status, task.result) == ("done", "mended")


async def test_printed_json_is_kept_as_json(squad: AsyncClient, asq: Asq) -> None:
    await given(squad)
    assert (await one(squad, asq, "--", "echo", '{"lines": [1, 2]}')).result == {"lines": [1, 2]}


async def test_the_command_reads_a_prompt_with_the_results_it_builds_on(squad: AsyncClient, asq: Asq) -> None:
    await squad.create_tasks(
        [TaskNew(title="Find it", key="a"), TaskNew(title="Mend it", description="Soon.", depends_on=["a"])]
    )
    await one(squad, asq, "--", "echo", "it is the cookie")
    task = await one(squad, asq, "--", "cat", number=2)
    assert "# Task #2: Mend it\n\nSoon." in task.result
    assert "## Result of #1: Find it\nit is the cookie" in task.result


async def test_the_command_finds_its_task_in_the_environment(squad: AsyncClient, asq: Asq) -> None:
    await given(squad, input={"page": 7})
    show = 'import os; print(open(os.environ["SQUAD_TASK_FILE"]).read())'
    task = await one(squad, asq, "--stdin", "none", "--", "python3", "-c", show)
    assert task.result["claim"] == "1/1"
    assert task.result["input"] == {"page": 7}
    await given(squad)
    names = "SQUAD_URL SQUAD_ID SQUAD_MEMBER SQUAD_TASK SQUAD_CLAIM"
    script = " ".join(f"${name}" for name in names.split())
    task = await one(squad, asq, "--", "sh", "-c", f"echo {script}", number=2)
    assert task.result == f"{squad.url} {task.squad} ada 2 2/1"


async def test_stdin_may_be_json(squad: AsyncClient, asq: Asq) -> None:
    await given(squad)
    assert (await one(squad, asq, "--stdin", "json", "--", "cat")).result["title"] == "Cart is lost"


async def reason(squad: AsyncClient) -> str:
    events = (await squad.events()).items
    return next(str(event.data.reason) for event in events if event.kind == "task.failed")


async def test_another_exit_code_fails_it_with_the_end_of_its_errors(squad: AsyncClient, asq: Asq) -> None:
    await given(squad)
    task = await one(squad, asq, "--", "sh", "-c", "head -c 9000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 3")
    assert task.status == "failed"
    said = await reason(squad)
    assert said.startswith("Exit code 3. xxx")
    assert said.endswith("end")
    assert len(said) < 4200


async def test_with_retry_a_failed_task_is_free_again(squad: AsyncClient, asq: Asq) -> None:
    await given(squad)
    task = await one(squad, asq, "--retry", "--", "false")
    assert (task.status, task.tries_left) == ("todo", 2)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("head -c 300000 /dev/zero", "result can't be used: at most 262144 bytes."),
        ("yes | head -c 200000", "result can't be used: at most 262144 bytes as JSON."),
        ("yes | head -c 3000000", "it printed more than 2097152 bytes."),
        (r"""printf '%s' '{"a":"\u0000"}'""", "result can't be used: holds a NUL character; leave it out."),
    ],
)
async def test_output_that_cannot_be_a_result_fails_the_task_and_says_why(
    squad: AsyncClient, asq: Asq, script: str, why: str
) -> None:
    await given(squad)
    task = await one(squad, asq, "--retry", "--", "sh", "-c", script)
    assert (task.status, task.tries_left) == ("todo", 2)
    assert await reason(squad) == f"Exit code 0, but {why}"


async def test_a_result_that_only_the_server_refuses_fails_the_task(
    squad: AsyncClient, asq: Asq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentsquad.client.tasks.checked", lambda kind, **fields: kind.model_construct(**fields))
    await given(squad)
    await worked(squad, await claimed(squad), "sh", "-c", "yes | head -c 200000")
    assert (await squad.task(1)).status == "failed"
    assert "at most 262144 bytes" in await reason(squad)


@pytest.mark.parametrize(
    ("out", "result"),
    [
        (b"", ""),
        (b"\0", "\ufffd"),
        (b"[NaN]", "[NaN]"),
        (b"[1e999]", "[1e999]"),
        (b"[" * 10_000, "[" * 10_000),
        (b"[" * 10_000 + b"]" * 10_000, "[" * 10_000 + "]" * 10_000),
        (b" [1, 2]\n", [1, 2]),
        (b"[1, 2", "[1, 2"),
        (b"7", "7"),
    ],
)
def test_json_is_kept_as_json_if_it_can_be_said_again(out: bytes, result: Any) -> None:
    assert prompts.result(out) == result


async def test_a_result_nested_deeply_is_not_lost_and_stops_no_worker(squad: AsyncClient, asq: Asq) -> None:
    await squad.create_tasks([TaskNew(title="Dig", key="a"), TaskNew(title="Climb", depends_on=["a"])])
    task = await one(squad, asq, "--", "python3", "-c", "print('[' * 700 + ']' * 700)")
    assert task.status == "done"
    assert isinstance(task.result, list)
    assert (await one(squad, asq, "--", "true", number=2)).status == "failed"
    assert "nested too deeply for a command" in await reason(squad)


async def test_a_command_that_is_not_there_is_said_so(squad: AsyncClient, asq: Asq) -> None:
    await given(squad)
    assert (await one(squad, asq, "--", "nonesuch")).status == "failed"
    assert "nonesuch: No such file" in await reason(squad)


async def claimed(client: AsyncClient) -> Claim:
    claim = await client.claim()
    assert claim is not None
    return claim


async def worked(client: AsyncClient, claim: Claim, *command: str) -> None:
    """Work on a claim in this process."""
    async with asyncio.timeout(20):
        await Attempt(client, Work(command, "owner", stdin=Stdin.NONE), claim).run()


async def test_a_result_is_handed_in_when_the_server_is_back_and_its_claim_is_kept_meanwhile(
    squad: AsyncClient, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("agentsquad.client.wire.PAUSES", (0.01,))
    await given(squad)
    async with (
        Way(squad.url, away=b"/complete") as way,
        AsyncClient(way.url, member="ada") as ada,
    ):
        working = asyncio.create_task(worked(ada, await claimed(ada), "echo", "mended"))
        await asyncio.sleep(2.5)  # seconds; the lease is one
        assert (await squad.task(1)).status == "in_progress"
        way.away = None
        await working
    task = await squad.task(1)
    assert (task.status, task.result, task.attempt) == ("done", "mended", 1)
    assert capfd.readouterr().err.endswith("#1 is done\n")


@pytest.mark.parametrize(("command", "status"), [("true", "done"), ("false", "failed")])
async def test_a_result_whose_answers_were_all_lost_was_accepted(
    squad: AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    status: str,
) -> None:
    monkeypatch.setattr("agentsquad.client.wire.PAUSES", (0.01,))
    await given(squad)
    async with Way(squad.url) as way, AsyncClient(way.url) as shaky:
        claim = await claimed(shaky)
        way.lost = 5
        await worked(shaky, claim, command)
        assert way.lost == 0
    assert (await squad.task(1)).status == status
    assert "#1 is lost" not in capfd.readouterr().err


async def test_a_command_that_takes_too_long_is_ended_with_its_children(
    squad: AsyncClient, asq: Asq, tmp_path: Path
) -> None:
    await given(squad)
    pid = tmp_path / "pid"
    task = await one(squad, asq, "--timeout", "0.5", "--", "sh", "-c", f"sleep 60 & echo $! > {pid}; wait")
    assert task.status == "failed"
    assert "longer than 0.5 s" in await reason(squad)
    assert ended(pid)


async def test_a_heartbeat_keeps_a_task_that_takes_longer_than_its_lease(squad: AsyncClient, asq: Asq) -> None:
    await given(squad)
    task = await one(squad, asq, "--", "sleep", "2.5")
    assert (task.status, task.attempt) == ("done", 1)


async def test_a_stopped_worker_gives_its_task_back(squad: AsyncClient, start: Start) -> None:
    await given(squad)
    worker = start("work", "--as", "ada", "--", "sleep", "60")

    async def held() -> bool:
        return (await squad.task(1)).status == "in_progress"

    await until(held)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 20) == 0
    assert (await squad.task(1)).status == "todo"


async def test_a_worker_that_slept_through_its_lease_is_told_and_changes_nothing(
    squad: AsyncClient, start: Start
) -> None:
    await given(squad)
    worker = start("work", "--as", "ada", "--once", "--", "sh", "-c", "sleep 1; echo stale")

    async def held() -> bool:
        return (await squad.task(1)).status == "in_progress"

    await until(held)
    worker.send_signal(signal.SIGSTOP)
    await squad.add_member(MemberNew(name="tess"))
    async with AsyncClient(member="tess") as tess:

        async def taken() -> Any:
            return await tess.claim()

        await asyncio.sleep(1.1)
        claim = await taken()
        assert claim.claim == "1/2"
        worker.send_signal(signal.SIGCONT)
        await asyncio.to_thread(worker.wait, 20)
        assert worker.stdout is not None
        assert "#1: attempt 1 ended: lapsed" in worker.stdout.read()
        assert (await tess.complete(claim.claim, "fresh")).result == "fresh"


async def test_it_waits_while_somebody_else_reserves_its_paths_and_says_so_once(
    squad: AsyncClient, start: Start, asq: Asq
) -> None:
    await given(squad, title="Held by the owner")
    other = await squad.claim(1, paths=["src/"])
    assert other is not None
    await given(squad)
    worker = start("work", "--as", "ada", "--once", "--path", "src/cart", "--path", "docs/", "--", "cat")
    assert worker.stdout is not None
    first = await asyncio.to_thread(worker.stdout.readline)
    assert first == (
        "src/cart overlaps with src/, which owner reserves for #1 (attempt 1) without a lease that could end; "
        "wait for it, or claim with other paths. Trying again.\n"
    )
    await asyncio.sleep(2.5)  # seconds, in which it tries again
    assert (await squad.task(2)).status == "todo"
    await squad.complete(other.claim)
    second, *rest = (await asyncio.to_thread(worker.stdout.read)).splitlines()
    assert second.startswith("ada holds #2 (attempt 1); lease 1 s, renewed while the command runs")
    assert rest == ["#2 is done"]
    assert await asyncio.to_thread(worker.wait, 20) == 0
    assert "Change nothing but what is at these paths" in (await squad.task(2)).result
    assert (await squad.attempts(2))[0].paths == ["src/cart", "docs/"]


async def test_a_worker_with_a_path_that_is_none_says_so_and_ends(squad: AsyncClient, asq: Asq) -> None:
    done = await asyncio.to_thread(asq, "work", "--as", "ada", "--path", "../x", "--", "true")
    assert (done.returncode, done.stderr) == (
        2, "paths.0 can't be used: can't lead out with ..; begin at the root of the checkout.\n"
    )  # fmt: skip


def test_without_a_server_it_says_how_to_start_one(asq: Asq) -> None:
    done = asq("work", "--as", "ada", "--", "true", SQUAD_URL="http://127.0.0.1:9")
    assert done.returncode == 6
    assert "start it with `asq serve`" in done.stderr


async def test_a_name_that_cannot_be_one_is_one_sentence(squad: AsyncClient, asq: Asq) -> None:
    done = await asyncio.to_thread(asq, "work", "--as", "a b", "--", "true")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("name can't be used: letters, digits")
