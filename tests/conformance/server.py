"""The server that the conformance suite wants to meet: tools, resources and prompts with the names that it knows.

None of it is in the product. What is tested with it is the door before it, and how the door is set up.
"""

import json
import re
from typing import Any, Final

from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ServerEvent,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    ContentBlock,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SetLevelRequestParams,
    TextResourceContents,
    Tool,
)

from tests.conformance import asking, contents
from tests.conformance.contents import Context, text

TEXTS: Final = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "Watched resource content",
}
BINARY: Final = "test://static-binary"
TEMPLATE: Final = "test://template/{id}/data"
_DATA: Final = re.compile(r"test://template/([^/]+)/data")
PROMPTS: Final = {
    "test_simple_prompt": [],
    "test_prompt_with_arguments": ["arg1", "arg2"],
    "test_prompt_with_embedded_resource": ["resourceUri"],
    "test_prompt_with_image": [],
    "test_input_required_result_prompt": [],
}
NO_ARGUMENTS: Final[dict[str, Any]] = {"type": "object"}


def create() -> Server[Any]:
    """Make it."""
    bus = InMemorySubscriptionBus()
    changes: dict[str, ServerEvent] = {
        "test_trigger_tool_change": ToolsListChanged(),
        "test_trigger_prompt_change": PromptsListChanged(),
    }
    tools = contents.TOOLS | asking.TOOLS

    async def call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        if params.name in changes:
            await bus.publish(changes[params.name])
            return contents.said(text("changed"))
        if params.name not in tools:
            raise MCPError(INVALID_PARAMS, "There is no such tool.")
        return await tools[params.name](context, params)

    async def list_tools(_: Context, __: object) -> ListToolsResult:
        return ListToolsResult(tools=[_tool(name) for name in [*tools, *changes]])

    server = Server(
        "conformance",
        version="1",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_templates,
        on_read_resource=_read_resource,
        on_subscribe_resource=_done,
        on_unsubscribe_resource=_done,
        on_subscriptions_listen=ListenHandler(bus),
        on_list_prompts=_list_prompts,
        on_get_prompt=_get_prompt,
        on_completion=_complete,
    )
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, _done)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))
    return server


def _tool(name: str) -> Tool:
    schema = contents.SCHEMAS.get(name, NO_ARGUMENTS)
    return Tool(name=name, description="A tool of the conformance suite.", input_schema=schema)


async def _done(_: Context, __: object) -> EmptyResult:
    return EmptyResult()


async def _complete(_: Context, __: CompleteRequestParams) -> CompleteResult:
    return CompleteResult(completion=Completion(values=["paris", "park"], total=2, has_more=False))


async def _list_resources(_: Context, __: object) -> ListResourcesResult:
    kinds = dict.fromkeys(TEXTS, "text/plain") | {BINARY: "image/png"}
    listed = [Resource(uri=uri, name=uri, description="For tests.", mime_type=kind) for uri, kind in kinds.items()]
    return ListResourcesResult(resources=listed)


async def _list_templates(_: Context, __: object) -> ListResourceTemplatesResult:
    one = ResourceTemplate(uri_template=TEMPLATE, name="data", description="For tests.", mime_type="application/json")
    return ListResourceTemplatesResult(resource_templates=[one])


async def _read_resource(_: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    uri = params.uri
    if uri == BINARY:
        blob = BlobResourceContents(uri=uri, mime_type="image/png", blob=contents.DOT)
        return ReadResourceResult(contents=[blob])
    if uri in TEXTS:
        plain = TextResourceContents(uri=uri, mime_type="text/plain", text=TEXTS[uri])
        return ReadResourceResult(contents=[plain])
    if data := _DATA.fullmatch(uri):
        body = json.dumps({"id": data[1], "templateTest": True, "data": f"Data for ID: {data[1]}"})
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type="application/json", text=body)])
    raise MCPError(INVALID_PARAMS, "There is no such resource.", {"uri": uri})


async def _list_prompts(_: Context, __: object) -> ListPromptsResult:
    return ListPromptsResult(
        prompts=[
            Prompt(
                name=name,
                description="A prompt of the conformance suite.",
                arguments=[PromptArgument(name=each, required=True) for each in arguments],
            )
            for name, arguments in PROMPTS.items()
        ]
    )


async def _get_prompt(_: Context, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    given = params.arguments or {}
    said: list[ContentBlock]
    match params.name:
        case "test_simple_prompt":
            said = [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            said = [text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            said = [contents.resource(given["resourceUri"], "Embedded resource content for testing.")]
        case "test_prompt_with_image":
            said = [contents.PICTURE]
        case "test_input_required_result_prompt":
            known = asking.context_of(params)
            if isinstance(known, InputRequiredResult):
                return known
            said = [text(known)]
        case _:
            raise MCPError(INVALID_PARAMS, "There is no such prompt.")
    return GetPromptResult(messages=[PromptMessage(role="user", content=each) for each in said])
