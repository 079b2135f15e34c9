"""Tools of the conformance suite that answer at once: each kind of content, errors, headers, schemas, reports."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    TextContent,
    TextResourceContents,
)

Context = ServerRequestContext[Any, Any]
Run = Callable[[Context, CallToolRequestParams], Awaitable[CallToolResult | InputRequiredResult]]

_DOT: Final = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\2\0\0\0\x90wS\xde"
    b"\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\3\1\1\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82"
)
_SILENCE: Final = b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\2\0\0\0\0\0"
DOT: Final = base64.b64encode(_DOT).decode()
PICTURE: Final = ImageContent(type="image", data=DOT, mime_type="image/png")
SOUND: Final = AudioContent(type="audio", data=base64.b64encode(_SILENCE).decode(), mime_type="audio/wav")
SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"$anchor": "address", "type": "object", "properties": {"city": {"type": "string"}}}},
    "properties": {"address": {"$ref": "#/$defs/address"}, "phone": {"type": "string"}, "email": {"type": "string"}},
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"required": ["address"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
MIRRORED: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
}


def resource(uri: str, text: str, kind: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=kind, text=text))


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def said(*content: ContentBlock, is_error: bool = False) -> CallToolResult:
    return CallToolResult(content=list(content), is_error=is_error)


def answering(*content: ContentBlock, is_error: bool = False) -> Run:
    """A tool that always says the same."""

    async def run(_: Context, __: CallToolRequestParams) -> CallToolResult:
        return said(*content, is_error=is_error)

    return run


async def log(context: Context, _: CallToolRequestParams) -> CallToolResult:
    for step in ("started", "is working", "is done"):
        await context.session.send_log_message("info", f"The tool {step}.", related_request_id=context.request_id)
    return said(text("logged"))


async def progress(context: Context, _: CallToolRequestParams) -> CallToolResult:
    for step in (0, 50, 100):
        await context.session.report_progress(step, 100)
    return said(text("done"))


async def sample_or_refuse(_: Context, __: CallToolRequestParams) -> CallToolResult:
    data: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
    raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool asks the client's model.", data)


TOOLS: Final[dict[str, Run]] = {
    "test_simple_text": answering(text("This is a simple text response for testing.")),
    "test_image_content": answering(PICTURE),
    "test_audio_content": answering(SOUND),
    "test_embedded_resource": answering(resource("test://embedded-resource", "This is an embedded resource content.")),
    "test_multiple_content_types": answering(
        text("Multiple content types test:"), PICTURE, resource("test://mixed", "{}", "application/json")
    ),
    "test_error_handling": answering(text("This tool intentionally returns an error for testing"), is_error=True),
    "test_tool_with_logging": log,
    "test_logging_tool": log,
    "test_tool_with_progress": progress,
    "test_missing_capability": sample_or_refuse,
    "json_schema_2020_12_tool": answering(text("valid")),
    "test_mirrored_header": answering(text("matched")),
}
SCHEMAS: Final = {"json_schema_2020_12_tool": SCHEMA, "test_mirrored_header": MIRRORED}
