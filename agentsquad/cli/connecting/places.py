"""A client's file: what is in it, and one change of it that is checked before it is written.

What a file didn't have before is noted, so that taking the change back leaves nothing of it.
"""

import contextlib
import copy
import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agentsquad import files
from agentsquad.cli.connecting import jsontext, notes, tomltext
from agentsquad.client import Invalid

BOM: Final = "\ufeff"
KINDS: Final = {dict: "object", list: "list"}


@dataclass(frozen=True)
class Spot:
    """Where something of ours stands in a file.

    Args:
        path: of the object or the list that holds it.
        mine: whether something that stands there is ours.
        kind: of what holds it.
    """

    path: tuple[str, ...]
    mine: Callable[[Any], bool]
    kind: type[dict[str, Any]] | type[list[Any]] = dict

    def keys(self, data: Any) -> list[jsontext.Key]:
        """Under which keys ours stands; there may be several if somebody copied it."""
        holder = self.holder(data)
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
        return [key for key, value in pairs if self.mine(value)]

    def holder(self, data: Any) -> Any:
        """What holds it; an empty one if there is none, or another kind of thing."""
        for name in self.path:
            data = data.get(name) if isinstance(data, dict) else None
        return data if isinstance(data, self.kind) else self.kind()


class Place:
    """A client's file, as it is now.

    Args:
        file: where it is.

    Raises:
        Invalid: it can't be used, and is left alone.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.there = True
        self.text, self.bom, self.commented = "", "", False
        try:
            self.text = file.read_bytes().decode()
        except FileNotFoundError:
            self.there = False
        except UnicodeDecodeError as error:
            raise Invalid("invalid", f"{file} is no UTF-8; mend it first, it is left as it is.") from error
        except OSError as error:
            raise Invalid("invalid", f"{file} can't be read ({error.strerror}); it is left as it is.") from error
        if self.text.startswith(BOM):
            self.text, self.bom = self.text[1:], BOM
        self.data: Any = self._read(self.text) if self.text.strip() else {}
        if not isinstance(self.data, dict):
            raise Invalid("invalid", f"{file} holds no object; mend it first, it is left as it is.")

    @property
    def is_toml(self) -> bool:
        """Whether it is TOML; else it is JSON."""
        return self.file.suffix == ".toml"

    def _read(self, text: str) -> Any:
        kind = "TOML" if self.is_toml else "JSON"
        try:
            if self.is_toml:
                return tomllib.loads(text)
            try:
                return json.loads(text)
            except ValueError:
                found = jsontext.lenient(text)
                self.commented = True
                return found
        except (ValueError, RecursionError) as error:
            sentence = f"{self.file} is no {kind} ({error}); mend it first, it is left as it is."
            raise Invalid("invalid", sentence) from error

    def put(self, spot: Spot, key: jsontext.Key, value: dict[str, Any]) -> bool:
        """Set something of ours, and write the file. Answers whether that changed anything.

        Raises:
            Invalid: the file has comments, or is laid out so that the change can't be made; it is left alone.
        """
        by_hand = f"set {_dotted((*spot.path, key))} by hand: {_shown(value)}"
        expected = copy.deepcopy(self.data)
        holder, made = expected, []
        for at, name in enumerate(spot.path):
            if name not in holder:
                made.append("/".join(spot.path[: at + 1]))
                holder[name] = {} if at + 1 < len(spot.path) else spot.kind()
            holder = holder[name]
            if not isinstance(holder, spot.kind if at + 1 == len(spot.path) else dict):
                kind = KINDS[spot.kind] if at + 1 == len(spot.path) else KINDS[dict]
                raise self._unfit(f"has {_dotted(spot.path[: at + 1])} that is no {kind}", by_hand)
        if isinstance(key, int):
            holder[key : key + 1] = [value]
        else:
            holder[key] = value
        if expected == self.data:
            return False
        if not self.there:
            made += ["file"] if self.file.parent.exists() else ["file", "folder"]
        self._write(lambda: self._with((*spot.path, key), value), expected, by_hand)
        notes.note(self.file, lambda before: [*before, *(each for each in made if each not in before)])
        return True

    def drop(self, spot: Spot, key: jsontext.Key) -> None:
        """Take out something of ours, and what had to be made for it, and write the file.

        Raises:
            Invalid: the file has comments, or is laid out so that the change can't be made; it is left alone.
        """
        noted = notes.read().made.get(str(self.file), [])
        path: tuple[jsontext.Key, ...] = (*spot.path, key)
        by_hand = f"take out {_dotted(path)} by hand: {_shown(spot.holder(self.data)[key])}"
        expected = copy.deepcopy(self.data)
        del spot.holder(expected)[key]
        paths = [path]
        for depth in range(len(spot.path), 0, -1):
            holder = Spot(spot.path[: depth - 1], bool).holder(expected)
            if holder[spot.path[depth - 1]] or (not self.is_toml and "/".join(spot.path[:depth]) not in noted):
                break
            del holder[spot.path[depth - 1]]
            paths.append(spot.path[:depth])
        self._write(lambda: self._without(paths), expected, by_hand)
        left = [each for each in noted if each not in {"/".join(map(str, path)) for path in paths}]
        if not self.text.strip(" \t\r\n{}") and "file" in noted:
            self.file.resolve().unlink()
            with contextlib.suppress(OSError):
                if "folder" in noted:
                    self.file.parent.rmdir()
            left = []
        notes.note(self.file, lambda _: left)

    def _with(self, path: tuple[jsontext.Key, ...], value: dict[str, Any]) -> str:
        if not self.is_toml:
            return jsontext.put(self.text if self.text.strip() else "{}\n", path, value)
        names = tuple(map(str, path))
        text = tomltext.without(self.text, names, ("env",))
        own = {name: each for name, each in value.items() if name == "env" or not isinstance(each, dict)}
        return tomltext.added(text, names, own)

    def _without(self, paths: list[tuple[jsontext.Key, ...]]) -> str:
        if self.is_toml:
            return tomltext.without(self.text, tuple(map(str, paths[0])))
        text = self.text
        for path in paths:
            text = jsontext.drop(text, path)
        return text

    def _write(self, change: Callable[[], str], expected: Any, by_hand: str) -> None:
        """Make a change and write it, if it comes to what it should and nothing else."""
        if self.commented:
            raise self._unfit("has comments, which would be lost", by_hand)
        try:
            text = change()
            data = self._read(text) if text.strip() else {}
        except (Invalid, TypeError, KeyError, ValueError, RecursionError):
            data = None
        if data is None or self._full(data) != self._full(expected):
            raise self._unfit("is laid out in a way of its own", by_hand)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            files.replace(self.file, (self.bom + text).encode())
        except OSError as error:
            raise Invalid(
                "invalid", f"{self.file} can't be written ({error.strerror}); it is left as it is."
            ) from error
        self.text, self.data, self.there = text, data, True

    def _full(self, data: Any) -> Any:
        """The data without what TOML may say or leave out: tables in which nothing is."""
        return {name: each for name, each in data.items() if each != {}} if self.is_toml else data

    def _unfit(self, why: str, by_hand: str) -> Invalid:
        return Invalid("invalid", f"{self.file} {why}, so it is left as it is; {by_hand}")


def _dotted(path: tuple[jsontext.Key, ...]) -> str:
    return ".".join(map(str, path))


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
