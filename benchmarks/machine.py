"""What it was measured on. No name of a host or a folder."""

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

LIBRARIES = ("sqlalchemy", "asyncpg", "psycopg2-binary", "fastapi", "starlette", "pydantic", "orjson", "uvicorn",
             "uvloop", "httptools")  # fmt: skip


def describe(postgresql: str) -> dict[str, str]:
    """The machine, the system, and the versions of everything that is compared."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = {
        "processor": _processor(),
        "cores": str(_cores()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        "Python": platform.python_version(),
        "PostgreSQL": f"{postgresql}, on a Unix socket",
    }
    return found | {name: metadata.version(name) for name in LIBRARIES}


def sentence(described: dict[str, str]) -> str:
    """The same in a line or two."""
    head = ("processor", "cores", "memory", "system", "Python", "PostgreSQL")
    values = {name: described[name] for name in head}
    libraries = ", ".join(f"{name} {version}" for name, version in described.items() if name not in head)
    return (
        f"{values['processor']}, {values['cores']} cores, {values['memory']}, {values['system']}; "
        f"Python {values['Python']}; PostgreSQL {values['PostgreSQL']}; {libraries}"
    )


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
