"""JSON that PostgreSQL builds: arrays, pages, and a read's row as text inside a transaction."""

from typing import Any

from sqlalchemy import Text, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import AliasedReturnsRows, LateralFromClause

from backend.core.statements import AnySelect

Item = AliasedReturnsRows[Any] | LateralFromClause


def array(value: Any) -> Any:
    """All values as a JSON array, in the order in which they come; an empty one if there are none."""
    return func.coalesce(func.json_agg(value), func.json_build_array())


def items(item: Item, made: Any = None) -> AnySelect:
    """One row: every row of `item` in `items`, as an object, or as what is `made` of all of them."""
    return select((array(item.table_valued()) if made is None else made).label("items")).select_from(item)


def page(item: Item, key: Any, limit: int, made: Any = None) -> AnySelect:
    """One row: `items`, and `next`, the last one's key as text if the page is full."""
    return items(item, made).add_columns(case((func.count() == limit, cast(func.max(key), Text))).label("next"))


async def document(session: AsyncSession, query: AnySelect) -> str:
    """The only row of a read as JSON, as the transaction sees it now."""
    row = query.subquery("row")
    found = await session.scalar(select(cast(func.row_to_json(row.table_valued()), Text)).select_from(row))
    return str(found)
