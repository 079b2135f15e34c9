"""`AsyncClient`: all that the server can be asked for."""

from agentsquad.client.budgets import BudgetCalls
from agentsquad.client.events import EventCalls
from agentsquad.client.exports import ExportCalls
from agentsquad.client.squads import SquadCalls
from agentsquad.client.users import UserCalls
from agentsquad.client.working import WorkCalls


class AsyncClient(WorkCalls, SquadCalls, BudgetCalls, ExportCalls, EventCalls, UserCalls):
    """A connection to a server, as a user or as a member; use it with `async with`.

    Whatever it changes it changes once, also when answers get lost and calls are repeated.

    Args:
        url: where the server is; by default `SQUAD_URL`, what `asq login` kept, or a server that runs here.
        key: an API key or a member token; by default from the same places.
        squad: id or name of the squad that is spoken of; by default `SQUAD_ID`, what `asq use` kept, or the only one.
        member: name of the external member for whom a squad's owner acts.
        timeout: seconds until a request is given up.
        patience: seconds for which a request is repeated while the server is away.
    """
