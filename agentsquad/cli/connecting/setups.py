"""Setting one client up for one member: what to paste, the same written, and all of it taken back."""

import asyncio
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentsquad.cli.connecting import claude, clients, notes, tomltext
from agentsquad.cli.connecting.bridge import Bridge
from agentsquad.cli.connecting.places import Place, Spot
from agentsquad.client import Invalid


@dataclass(frozen=True)
class Setup:
    """A client in a folder that starts the bridge for a member.

    Args:
        name: of the client.
        folder: where one works with it.
        bridge: what it starts.
    """

    name: clients.Name
    folder: Path
    bridge: Bridge

    @property
    def client(self) -> clients.Client:
        """What is known of the client."""
        return clients.CLIENTS[self.name]

    @property
    def file(self) -> Path:
        """Where its servers stand."""
        return self.client.place(self.folder)

    def noted(self, server: str = "") -> notes.Connection:
        """What is noted when it is written."""
        folder = "" if self.name is clients.Name.CODEX else str(self.folder)
        return notes.Connection(self.name.value, folder, self.bridge.squad, self.bridge.member, server)

    @property
    def spot(self) -> Spot:
        """Where the server stands in the file."""
        return Spot(self.client.path, self.bridge.starts)

    @property
    def hooks(self) -> dict[Path, list[Spot]]:
        """Where hooks stand in another file."""
        if self.name is not clients.Name.CLAUDE_CODE:
            return {}
        spots = [Spot(("hooks", event), self.bridge.hooks, list) for event in clients.EVENTS]
        return {clients.hooks_file(self.folder): spots}

    @property
    def by_command(self) -> bool:
        """Whether the client's own command keeps the server."""
        return self.name is clients.Name.CLAUDE_CODE and claude.there()


@dataclass(frozen=True)
class Block:
    """Something to paste.

    Args:
        where: the file, or nothing for a line to type.
        text: what.
    """

    where: Path | None
    text: str


def blocks(setup: Setup) -> list[Block]:
    """What to paste where, as `write` would have it."""
    bridge = setup.bridge
    if setup.by_command:
        before = notes.read().of(setup.noted())
        first = Block(None, shlex.join(claude.adding(bridge, before.server if before else bridge.name(()))))
    else:
        first = Block(setup.file, snippet(setup, _server(setup)))
    groups = {event: [clients.hook(bridge)] for event in clients.EVENTS}
    return [first, *(Block(file, _json({"hooks": groups})) for file in setup.hooks)]


def snippet(setup: Setup, server: str) -> str:
    """The server's entry, with what is around it."""
    entry: Any = setup.client.entry(setup.bridge)
    if setup.name is clients.Name.CODEX:
        return tomltext.added("", (*setup.client.path, server), entry).rstrip("\n")
    for name in reversed((*setup.client.path, server)):
        entry = {name: entry}
    return _json(entry)


async def write(setup: Setup) -> str:
    """Write it. Answers under which name the server is.

    Raises:
        Invalid: a file can't be used, or not be changed; it is left alone.
        SquadError: the client's own command refuses it.
    """
    if not setup.by_command:
        return await asyncio.to_thread(_write, setup)
    await asyncio.to_thread(_write_hooks, setup)
    before = notes.read().of(setup.noted())
    server = await claude.add(setup.bridge, setup.folder, before.server if before else "")
    await asyncio.to_thread(_note, setup, server)
    return server


async def remove(setup: Setup) -> bool:
    """Take out what was written, and nothing else. Answers whether there was anything.

    Raises:
        Invalid: a file can't be used, or not be changed; it is left alone.
        SquadError: the client's own command isn't there any more.
    """
    before = notes.read().of(setup.noted())
    if before and before.server:
        await claude.remove(before.server, setup.folder)
    found = await asyncio.to_thread(_remove, setup)
    return found or before is not None


def _server(setup: Setup) -> str:
    """The name that the server has in the file, or would get."""
    try:
        data = Place(setup.file).data
    except Invalid:  # it is said when it is written
        return setup.bridge.name(())
    keys = setup.spot.keys(data)
    return str(keys[0]) if keys else setup.bridge.name(setup.spot.holder(data))


def _write(setup: Setup) -> str:
    _write_hooks(setup)
    with notes.changing():
        place, server = Place(setup.file), _server(setup)
        before = setup.spot.holder(place.data).get(server, {})
        place.put(setup.spot, server, _merged(before, setup.client.entry(setup.bridge)))
        notes.connected(setup.noted())
    return server


def _write_hooks(setup: Setup) -> None:
    with notes.changing():
        for file, spots in setup.hooks.items():
            place = Place(file)
            for spot in spots:
                keys = spot.keys(place.data)
                key = keys[0] if keys else len(spot.holder(place.data))
                place.put(spot, key, clients.hook(setup.bridge))


def _note(setup: Setup, server: str) -> None:
    with notes.changing():
        notes.connected(setup.noted(server))


def _remove(setup: Setup) -> bool:
    found = False
    with notes.changing():
        for file, spots in ({setup.file: [setup.spot]} | setup.hooks).items():
            place = Place(file)
            for spot in spots:
                while keys := spot.keys(place.data):
                    place.drop(spot, keys[0])
                    found = True
        notes.disconnected(setup.noted())
    return found


def _merged(before: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """The entry, with what somebody else has put into it."""
    others = {name: each for name, each in before.items() if name not in {"type", "command", "args", "env"}}
    environment = before.get("env")
    own = entry.get("env", {})
    if isinstance(environment, dict):
        own = {name: each for name, each in environment.items() if not name.startswith("SQUAD_")} | own
    return entry | ({"env": own} if own else {}) | others


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
