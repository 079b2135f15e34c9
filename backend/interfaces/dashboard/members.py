"""Who works in a squad, what each holds and since when; and letting one pause."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentsquad.schemas.budgets import Usage
from agentsquad.schemas.members import PauseNew, Team
from backend.interfaces.dashboard import forms, visits
from backend.operations import budgets, members

NO_MEMBER: Final = "There is no such member; go on from the list of members."


async def team(request: Request) -> Response:
    """The members."""
    visitor = await visits.visitor(request)
    setting = await visits.setting(visitor)
    shown = Team.model_validate_json(await visitor.read(members.team))
    usage = Usage.model_validate_json(await visitor.read(budgets.squad))
    spent = {each.member: each for each in usage.members}
    return await visits.page(visitor, setting, "members.html", team=shown.items, whole=usage.squad, spent=spent)


async def pause(request: Request) -> Response:
    """Let a member claim nothing more."""
    visitor = await visits.visitor(request)
    given = await forms.fields(request)
    how = PauseNew(now="now" in given)
    return await visitor.write(members.pause, visits.named(request, "member", NO_MEMBER), how, to="/members")


async def resume(request: Request) -> Response:
    """Let a member claim again."""
    visitor = await visits.visitor(request)
    return await visitor.write(members.resume, visits.named(request, "member", NO_MEMBER), to="/members")


routes = [
    Route("/ui/{squad}/members", team),
    Route("/ui/{squad}/members/{member}/pause", pause, methods=["POST"]),
    Route("/ui/{squad}/members/{member}/resume", resume, methods=["POST"]),
]
