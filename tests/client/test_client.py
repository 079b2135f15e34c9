"""The client against a real server, also when answers get lost on the way."""

import asyncio
import socket

import pytest

from agentsquad.client import AsyncClient, LostClaim, NotFound, SquadError, Unauthenticated, Unreachable
from agentsquad.schemas.members import MemberNew
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import TaskNew
from tests.cli.conftest import Site
from tests.client.ways import Way, answering


@pytest.fixture
async def owner(owner_of_web: AsyncClient) -> AsyncClient:
    """The owner of a squad with a member and a task."""
    await owner_of_web.create_tasks([TaskNew(title="Cart is lost")])
    return owner_of_web


async def test_a_token_acts_as_its_member(owner: AsyncClient) -> None:
    token = await owner.create_token("ada")
    async with AsyncClient(owner.url, token.secret) as ada:
        claim = await ada.claim()
        assert claim is not None
        assert claim.task.holder == "ada"
        assert (await ada.heartbeat(claim.claim)).lease_ends_at is not None
        assert (await ada.complete(claim.claim, {"found": True})).result == {"found": True}
        assert await ada.claim() is None
    last = (await owner.events()).items[-1]
    assert (last.kind, last.actor.member, last.actor.user) == ("task.completed", "ada", None)


async def test_a_result_whose_answer_was_lost_was_accepted_and_the_client_knows(
    owner: AsyncClient,
    site: Site,
) -> None:
    claim = await owner.claim(1)
    assert claim is not None
    async with Way(owner.url, lost=1) as way, AsyncClient(way.url, site.key) as shaky:
        assert (await shaky.complete(claim.claim, "mended")).status == "done"
    with pytest.raises(LostClaim):
        await owner.complete(claim.claim, "again")


async def test_what_is_repeated_is_done_once(owner: AsyncClient, site: Site) -> None:
    async with Way(owner.url, lost=1) as way, AsyncClient(way.url, site.key) as shaky:
        assert [task.number for task in await shaky.create_tasks([TaskNew(title="Once")])] == [2]
    assert [task.title for task in (await owner.board()).tasks] == ["Cart is lost", "Once"]


async def test_refusals_are_exceptions_with_their_code(owner: AsyncClient) -> None:
    with pytest.raises(NotFound):
        await owner.task(99)
    async with AsyncClient(owner.url, "sqd_wrong") as stranger:
        with pytest.raises(Unauthenticated):
            await stranger.user()
    with pytest.raises(SquadError) as refused:
        await owner.create_tasks([TaskNew(title="x", depends_on=[99])])
    assert refused.value.code == "invalid"
    assert refused.value.fields["errors"][0]["field"] == "body.tasks.0.depends_on.0"


async def test_fail_with_retry_frees_the_task(owner: AsyncClient) -> None:
    claim = await owner.claim()
    assert claim is not None
    assert (await owner.fail(claim.claim, "no access", retry=True)).status == "todo"


async def test_a_failure_with_retry_whose_answer_was_lost_was_accepted_too(
    owner: AsyncClient,
    site: Site,
) -> None:
    claim = await owner.claim(1)
    assert claim is not None
    async with Way(owner.url, lost=1) as way, AsyncClient(way.url, site.key) as shaky:
        task = await shaky.fail(claim.claim, "no access", retry=True)
    assert (task.status, task.attempt, task.tries_left) == ("todo", 1, 2)
    with pytest.raises(LostClaim):
        await owner.fail(claim.claim, "no access", retry=True)


@pytest.mark.parametrize("number", [None, 1])
async def test_a_claim_whose_answer_was_lost_is_found_again(
    owner: AsyncClient,
    site: Site,
    number: int | None,
) -> None:
    await owner.create_tasks([TaskNew(title="Another")])
    async with Way(owner.url, lost=1) as way, AsyncClient(way.url, site.key) as shaky:
        claim = await shaky.claim(number)
    assert claim is not None
    assert claim.claim == "1/1"
    assert [task.status for task in (await owner.board()).tasks] == ["in_progress", "todo"]


async def test_what_nobody_heard_is_asked_again(owner: AsyncClient, site: Site) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with AsyncClient(f"http://127.0.0.1:{port}", site.key) as early:
        claiming = asyncio.create_task(early.claim())
        await asyncio.sleep(0.05)
        async with Way(owner.url, port=port):
            claim = await claiming
    assert claim is not None
    assert claim.claim == "1/1"


async def test_a_members_name_needs_no_ascii(owner: AsyncClient, site: Site) -> None:
    await owner.add_member(MemberNew(name="josé"))
    async with AsyncClient(owner.url, site.key, member="josé") as member:
        claim = await member.claim()
    assert claim is not None
    assert claim.task.holder == "josé"


@pytest.mark.parametrize("result", [[float("nan")], {"a": "\x00"}, "\ud800", "x" * 300_000])
async def test_a_result_that_is_no_json_to_keep_is_refused_in_a_sentence(owner: AsyncClient, result: object) -> None:
    claim = await owner.claim()
    assert claim is not None
    with pytest.raises(SquadError, match=r"^result can't be used: .+[^.]\.$") as refused:
        await owner.complete(claim.claim, result)
    assert refused.value.code == "invalid"
    assert (await owner.complete(claim.claim)).status == "done"


async def test_another_servers_answer_is_one_sentence() -> None:
    async with answering("200 OK") as url, AsyncClient(url, "sqd_x") as client:
        with pytest.raises(SquadError, match=f"^What answers at {url} is no Agent Squad; check SQUAD_URL.$") as refused:
            await client.user()
    assert refused.value.code == "invalid"


async def test_a_proxy_before_a_server_that_is_away_counts_as_no_answer() -> None:
    async with answering("502 Bad Gateway") as url, AsyncClient(url, "sqd_x", patience=0.5) as client:
        with pytest.raises(Unreachable, match="The server answered 502"):
            await client.create_squad(SquadNew(name="webshop"))


async def test_a_key_that_cannot_be_sent_is_not_shown() -> None:
    async with answering("200 OK") as url, AsyncClient(url, "sqd_secret\nline") as client:
        with pytest.raises(SquadError, match="holds a line break") as refused:
            await client.create_squad(SquadNew(name="webshop"))
    assert "sqd_secret" not in str(refused.value)
