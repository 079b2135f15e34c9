"""What the log tells of the squad and its members, to be compared with their rows."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from agentsquad.schemas import limits
from agentsquad.schemas.events import Event
from agentsquad.schemas.events.members import MemberAdded, MemberPaused, MemberResumed, MemberRetired, MemberUpdated
from agentsquad.schemas.events.squads import SquadCreated, SquadImported
from agentsquad.schemas.exports import Header, MemberRow
from agentsquad.schemas.hosting import Hosting

SQUAD = ("name", "lease_seconds", "max_tries", "paused_at", "archived_at")
MEMBER = ("kind", "role", "instructions", "hosting", "paused_at", "retired_at")


class Telling:
    """The squad and its members as the events tell them, one after another."""

    def __init__(self) -> None:
        self._squad: dict[str, Any] = dict.fromkeys(SQUAD)
        self._members: dict[str, dict[str, Any]] = {}

    def tell(self, event: Event) -> None:
        """The next event.

        Raises:
            ValueError: it can't be one here.
        """
        if (event.position == 1) != isinstance(event, SquadCreated):
            raise ValueError("the log begins with `squad.created`, and has no other one")
        match event:
            case SquadImported(data=data):
                self._squad["name"] = data.name
                for member in data.members:
                    self._of(member.name)["kind"] = member.kind
            case MemberAdded(data=data):
                if data.name in self._members:
                    raise ValueError(f"there is a member {data.name} already")
                if len(self._members) >= limits.MEMBERS:
                    raise ValueError(f"at most {limits.MEMBERS} members")
                self._members[data.name] = dict.fromkeys(MEMBER) | _kept(dict(data), MEMBER)
            case MemberUpdated(data=data):
                self._rename(data.before, data.member)
                self._of(data.member).update(
                    _kept({name: getattr(data, name) for name in data.model_fields_set}, MEMBER)
                )
            case MemberPaused(data=data) | MemberResumed(data=data) | MemberRetired(data=data):
                self._of(data.member).update(_kept(data.model_dump(), MEMBER))
            case _ if event.kind.startswith("squad."):
                self._squad.update(_kept(event.data.model_dump(exclude_unset=True), SQUAD))
            case _:
                pass

    def differences(self, header: Header, members: Mapping[str, MemberRow]) -> Iterator[str]:
        """Where the rows are not what the log tells."""
        if _kept(header.model_dump(), SQUAD) != self._squad:
            yield "of the squad"
        for name in sorted(members.keys() | self._members.keys()):
            row = members.get(name)
            if row is None or _kept(dict(row), MEMBER) != self._members.get(name):
                yield f"of the member {name}"

    def _of(self, name: str) -> dict[str, Any]:
        if name not in self._members:
            raise ValueError(f"there is no member {name} in the log yet")
        return self._members[name]

    def _rename(self, before: str, now: str) -> None:
        if before != now:
            if now in self._members:
                raise ValueError(f"there is a member {now} already")
            self._members[now] = self._of(before)
            del self._members[before]


def _kept(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: short(values[name]) for name in names if name in values}


def short(value: Any) -> Any:
    """A long text, and how a member is run, by its digest."""
    if isinstance(value, Hosting):
        value = value.model_dump_json()
    return hashlib.sha256(value.encode()).hexdigest() if isinstance(value, str) and len(value) > limits.NAME else value
