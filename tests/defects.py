"""The database's functions with something changed in them, for controls that must find it."""

from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from backend import operations

FOLDER = Path(operations.__file__).parent


def changed(name: str, *changes: tuple[str, str]) -> list[str]:
    """The functions of a file; what stands left in each change is replaced by what stands right, where it is first."""
    source = next(FOLDER.rglob(f"{name}.sql")).read_text()
    for right, wrong in changes:
        assert right in source
        source = source.replace(right, wrong, 1)
    return source.split("\n\n-- ")


async def install(session: AsyncSession, functions: list[str]) -> None:
    """Put them in the place of the right ones."""
    for function in functions:
        await (await session.connection()).exec_driver_sql(f"-- {function}")
