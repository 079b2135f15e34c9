"""The caller itself, and waiting for something to do."""

from backend.interfaces.mcp.callers import Caller
from backend.interfaces.mcp.shapes import Me, Nothing, Patience, Waited
from backend.live import waiting
from backend.operations import members, squads

WORK = "Call claim_task."
MAIL = "Call fetch_inbox."
QUIET = "Nothing yet: call wait again."


async def whoami(caller: Caller, given: Nothing) -> Me:  # noqa: ARG001  (every tool has arguments)
    """Who you are in this squad: name, role, instructions, the claims that you hold, how many messages are unread.

    Call it first, and again when you have lost track. Follow `instructions`. If `claims` names tasks that you don't
    remember, another session of yours may hold them: leave those alone.
    """
    me = await caller.read(members.me)
    squad = await caller.read(squads.get)
    return Me(
        squad=squad["name"],
        name=me["name"],
        role=me["role"],
        instructions=me["instructions"],
        claims=me["claims"],
        unread=me["unread"],
    )


async def wait(caller: Caller, given: Patience) -> Waited:
    """Wait until there is work that you can claim, or a message or an answer for you; at most `seconds`.

    Call it when claim_task found nothing, instead of asking again and again. `next` says what to do then; if nothing
    came, call it again. If you leave messages unread on purpose, give the last one's number in `after`.
    """
    # The next call has to come in time for every lease.
    seconds = given.seconds if caller.lease is None else min(given.seconds, caller.lease / 2)
    found = await waiting.news(
        caller.feed, caller.actor, caller.squad, caller.there, seconds, work=given.work, after=given.after
    )
    return Waited(
        work=found.work, unread=await caller.unread(), next=WORK if found.work else MAIL if found.mail else QUIET
    )
