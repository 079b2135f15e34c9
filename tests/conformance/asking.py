"""Tools of the conformance suite that ask the client: by requests during the call, or by what they need to go on."""

from typing import Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    GetPromptRequestParams,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
)

from tests.conformance.contents import Context, Run, said, text

_ONE: Final = ["a", "b"]
_TITLED: Final = [{"const": "a", "title": "First"}, {"const": "b", "title": "Second"}]
FIELDS: Final[dict[str, dict[str, Any]]] = {
    "test_elicitation": {"response": {"type": "string"}},
    "test_elicitation_sep1034_defaults": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "test_elicitation_sep1330_enums": {
        "untitledSingle": {"type": "string", "enum": _ONE},
        "titledSingle": {"type": "string", "oneOf": _TITLED},
        "legacyEnum": {"type": "string", "enum": _ONE, "enumNames": ["First", "Second"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _ONE}},
        "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
    },
}


def form(message: str, **properties: Any) -> ElicitRequest:
    schema = {"type": "object", "properties": properties}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(words: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=text(words))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


NAME: Final = form("What is your name?", name={"type": "string"})
SURE: Final = form("Are you sure?", ok={"type": "boolean"})
ALL: Final[dict[str, InputRequest]] = {"name": NAME, "greeting": sample("Greet me."), "roots": ListRootsRequest()}


async def elicit(context: Context, params: CallToolRequestParams) -> CallToolResult:
    schema = {"type": "object", "properties": FIELDS[params.name]}
    answer = await context.session.elicit_form("Please say.", schema, context.request_id)
    return said(text(answer.action))


async def ask_model(context: Context, params: CallToolRequestParams) -> CallToolResult:
    message = SamplingMessage(role="user", content=text(str((params.arguments or {}).get("prompt"))))
    await context.session.create_message(messages=[message], max_tokens=100, related_request_id=context.request_id)
    return said(text("answered"))


def needing(state: str | None = None, **requests: InputRequest) -> Run:
    """A tool that goes on when every request has its answer, and gets its own state back with them."""

    async def run(_: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        if not requests.keys() <= (params.input_responses or {}).keys():
            return InputRequiredResult(input_requests=requests, request_state=state)
        if params.request_state != state:
            raise MCPError(INVALID_PARAMS, "That is not my state.")
        return said(text("state-ok"))

    return run


async def two_rounds(_: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    given = params.input_responses or {}
    if params.request_state == "second" and "step2" in given:
        return said(text("done"))
    if params.request_state == "first" and "step1" in given:
        colour = form("Step 2: what is your favourite colour?", color={"type": "string"})
        return InputRequiredResult(input_requests={"step2": colour}, request_state="second")
    return InputRequiredResult(input_requests={"step1": NAME}, request_state="first")


async def what_the_client_can(context: Context, _: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    able = context.session.client_capabilities
    requests: dict[str, InputRequest] = {}
    if able and able.sampling is not None:
        requests["greeting"] = ALL["greeting"]
    if able and able.elicitation is not None:
        requests["name"] = NAME
    return InputRequiredResult(input_requests=requests, request_state="asked")


def context_of(params: GetPromptRequestParams) -> str | InputRequiredResult:
    """What a prompt needs to know, or the request for it."""
    answer = (params.input_responses or {}).get("user_context")
    if isinstance(answer, ElicitResult):
        return str((answer.content or {}).get("context"))
    asked = form("What context should the prompt use?", context={"type": "string"})
    return InputRequiredResult(input_requests={"user_context": asked})


TOOLS: Final[dict[str, Run]] = {
    "test_sampling": ask_model,
    **dict.fromkeys(FIELDS, elicit),
    "test_streaming_elicitation": needing(user_name=NAME),
    "test_input_required_result_elicitation": needing(user_name=NAME),
    "test_input_required_result_sampling": needing(capital_question=sample("What is the capital of France?")),
    "test_input_required_result_list_roots": needing(client_roots=ListRootsRequest()),
    "test_input_required_result_request_state": needing("mine", confirm=SURE),
    "test_input_required_result_tampered_state": needing("mine", confirm=SURE),
    "test_input_required_result_multiple_inputs": needing("mine", **ALL),
    "test_input_required_result_multi_round": two_rounds,
    "test_input_required_result_capabilities": what_the_client_can,
}
