"""Templates and files: what a page is made of, and how it is answered."""

import asyncio
import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from agentsquad import spending, steps
from agentsquad.sentences import sentence
from backend.interfaces.dashboard import words

HERE: Final = Path(__file__).parent
STATIC: Final = "/ui/static"
FILES: Final = {
    "app.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
FRAGMENT: Final = "hx-request"  # the header of htmx, and of live.js
TURN: Final = 0.003  # seconds for which a page is written at a stretch
FOR_EVER: Final = "public, max-age=31536000, immutable"
_CONTENT: Final = {name: (HERE / "static" / name).read_bytes() for name in FILES}
_VERSIONS: Final = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in _CONTENT.items()}


def static(name: str) -> str:
    """The address of a file; it changes with what is in the file, which may so be kept for ever."""
    return f"{STATIC}/{name}?v={_VERSIONS[name]}"


_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals.update(static=static)
_TEMPLATES.filters.update(
    ago=words.ago, clock=words.clock, iso=words.iso, label=words.label, lasted=words.lasted, left=words.left,
    pretty=words.pretty, sentence=sentence, parts=steps.parts, line=steps.line, cost=spending.cost,
    amounts=spending.amounts, tokens_of=spending.tokens_of, cost_of=spending.cost_of, limits=spending.limits,
)  # fmt: skip


def wants_fragment(request: Request) -> bool:
    """Whether the page is there already, and only what is on it is asked for."""
    return FRAGMENT in request.headers


async def page(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """A page, or only its inside for a page that is there already."""
    frame = "inside.html" if wants_fragment(request) else "frame.html"
    values = {"frame": frame, "here": request.url.path, "now": datetime.now(UTC), **context}
    return HTMLResponse(await _rendered(_TEMPLATES.get_template(template), values), status)


async def _rendered(template: Template, values: dict[str, Any]) -> str:
    """The text of a page; a large one takes a while, and in between it's the others' turn."""
    clock = time.perf_counter
    parts: list[str] = []
    until = clock() + TURN
    for part in template.generate(values):
        parts.append(part)
        if clock() > until:
            await asyncio.sleep(0)
            until = clock() + TURN
    return "".join(parts)


def _file(name: str) -> Route:
    async def answer(request: Request) -> Response:
        etag = f'"{_VERSIONS[name]}"'
        current = request.query_params.get("v") == _VERSIONS[name]
        headers = {"ETag": etag, "Cache-Control": FOR_EVER if current else "no-cache"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(_CONTENT[name], headers=headers, media_type=FILES[name])

    return Route(f"{STATIC}/{name}", answer, name=name)


routes = [_file(name) for name in FILES]
