"""What a tool of a server is called, so that every provider takes the name and no two are the same."""

import re
from collections.abc import Container
from hashlib import sha256
from typing import Final

LENGTH: Final = 64  # characters that providers take
MARK: Final = 8  # characters of a mark that tells two from one another


def of(server: str, tool: str, taken: Container[str]) -> str:
    """`server__tool`, marked where that had to be changed or is taken: the same tool always gets the same name."""
    plain = f"{server}__{tool}"
    name = re.sub(r"[^A-Za-z0-9_-]", "_", plain)
    if name == plain and len(name) <= LENGTH and name not in taken:
        return name
    mark = sha256(f"{len(server)} {plain}".encode(errors="replace")).hexdigest()[:MARK]
    return f"{name[: LENGTH - MARK - 1]}_{mark}"
