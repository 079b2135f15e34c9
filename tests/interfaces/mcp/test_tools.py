"""Every tool, as the official client sees it, in both kinds of protocol."""

from tests.interfaces.mcp.conftest import Squad, joined


async def test_a_task_goes_its_way(squad: Squad, mode: str) -> None:
    await squad.task("one", role="tester", description="Do it.")
    async with joined(squad.url, await squad.token("tess", instructions="Test well."), mode) as tess:
        me = await tess.call("whoami")
        assert (me["name"], me["role"], me["instructions"], me["claims"]) == ("tess", "tester", "Test well.", [])
        claimed = await tess.call("claim_task")
        assert (claimed["claim"], claimed["kind"], claimed["task"]["description"]) == ("1/1", "work", "Do it.")
        done = await tess.call("complete_task", claim="1/1", result={"found": 3})
        assert (done["number"], done["status"]) == (1, "done")
        shown = await tess.call("get_task", number=1)
        assert shown["task"]["result"] == {"found": 3}
        assert "claim" not in await tess.call("claim_task")
    assert (await squad.shown(1))["status"] == "done"
