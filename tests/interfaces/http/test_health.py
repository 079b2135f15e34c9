from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from tests.interfaces.http.conftest import Site, refused


async def outdate(session: AsyncSession) -> None:
    await session.execute(text("UPDATE alembic_version SET version_num = 'another'"))


async def test_it_is_alive_and_ready_without_a_key(site: Site) -> None:
    nobody = await site.caller()
    for path in ("/health", "/ready"):
        answer = await nobody.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_with_another_program_s_schema_it_is_alive_and_not_ready(site: Site) -> None:
    nobody = await site.caller()
    await site.app.state.database.transact(outdate)
    answer = await nobody.get("/ready")
    assert "asq admin migrate" in refused(answer, 503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert (await nobody.get("/health")).status_code == 200
