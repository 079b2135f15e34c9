"""The MCP server: which tools, resources and prompts there are, and how a request finds its own."""

import functools
from importlib import metadata
from typing import Any, Final

from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    ReadResourceRequestParams,
    ReadResourceResult,
)
from mcp_types import Tool as Listed

from backend.interfaces.mcp import holding, members, messages, prompts, resources, tasks
from backend.interfaces.mcp.callers import Caller
from backend.interfaces.mcp.tools import Tool, tool

CALLER: Final = "agentsquad.caller"  # where the door leaves it, in a request's scope
TOOLS: Final[tuple[Tool, ...]] = (
    tool(members.whoami, reads=True),
    tool(tasks.list_tasks, reads=True),
    tool(tasks.get_task, reads=True),
    tool(tasks.create_tasks),
    tool(holding.claim_task),
    tool(holding.complete_task),
    tool(holding.fail_task),
    tool(holding.release_task),
    tool(holding.handoff_task),
    tool(holding.wait_for_children),
    tool(holding.review_task),
    tool(messages.send_message),
    tool(messages.fetch_inbox),
    tool(holding.ask_human),
    tool(members.wait, reads=True),
)
INSTRUCTIONS: Final = (
    "You are a member of a squad: agents and people who share a board of tasks. Call whoami first. Then claim_task, do "
    "the work, complete_task, and again; call wait when there is nothing. Echo the claim in every call about its task."
)
# What is offered is the same for every member, and another version of the server may offer more.
OFFERED: Final = CacheHint(ttl_ms=5 * 60 * 1000, scope="public")
HINTS: Final[dict[CacheableMethod, CacheHint]] = {
    "server/discover": OFFERED,
    "tools/list": OFFERED,
    "prompts/list": OFFERED,
    "resources/list": OFFERED,
    "resources/templates/list": OFFERED,
}
Context = ServerRequestContext[Any, Any]


@functools.cache
def _listed() -> dict[str, Listed]:
    """How clients see the tools; made once, for a call asks for its tool's schema too."""
    return {each.name: each.listed() for each in TOOLS}


def create() -> Server[Any]:
    """Make the server."""
    by_name = {each.name: each for each in TOOLS}
    listed = _listed()

    async def list_tools(_: Context, __: object) -> ListToolsResult:
        return ListToolsResult(tools=list(listed.values()))

    async def call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
        found = by_name.get(params.name)
        if found is None:
            raise MCPError(code=INVALID_PARAMS, message=f"There is no tool {params.name[:100]!r}; call tools/list.")
        return await found.call(_caller(context), params.arguments or {})

    async def list_resources(_: Context, __: object) -> ListResourcesResult:
        return ListResourcesResult(resources=resources.LISTED)

    async def list_templates(_: Context, __: object) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(resource_templates=resources.TEMPLATES)

    async def read_resource(context: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        return await resources.read(_caller(context), params.uri)

    async def list_prompts(_: Context, __: object) -> ListPromptsResult:
        return ListPromptsResult(prompts=[prompts.START])

    async def get_prompt(context: Context, params: GetPromptRequestParams) -> GetPromptResult:
        return await prompts.get(_caller(context), params.name)

    return Server(
        "agentsquad",
        title="Agent Squad",
        version=metadata.version("agentsquad-server"),
        instructions=INSTRUCTIONS,
        cache_hints=HINTS,
        get_tool_input_schema=lambda name: listed[name].input_schema if name in listed else None,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )


def _caller(context: Context) -> Caller:
    assert context.request is not None  # every request comes by HTTP
    caller: Caller = context.request.scope[CALLER]
    return caller
