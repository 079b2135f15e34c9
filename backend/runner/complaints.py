"""What to make of an error while a model is asked: a sentence that quotes nothing, and whether to ask again.

What an endpoint says itself is quoted nowhere: it may hold the request, or the key that came with it.
"""

from dataclasses import dataclass
from typing import Final

from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    UnexpectedModelBehavior,
    UserError,
)
from pydantic_ai.models import Model

from backend.runner.errors import AddressRefused, Failure, TooMuch, chain
from backend.runner.models import Endpoint

AGAIN: Final = {408, 409, 425, 429}
UNSTREAMED: Final = {400, 404, 405, 406, 415, 422, 501}  # by which one is refused that can't stream, among others
SETUP: Final = {401, 402, 403, 404}  # the key, the account, the address or the model's name
SENTENCES: Final = {
    401: "accepts no key",
    403: "allows this key no such call",
    404: "knows no such model, or is no address of models",
}
REFUSALS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (ModelContextWindowExceededError, "can't read a conversation of this length; give the member a larger model"),
    (ModelQuotaExceededError, "has no credit left in its account; add some, or give the member another model"),
    (ContentFilterError, "answers nothing to this; change the task, or give the member another model"),
    (UserError, "can't be asked this; check the member's settings and tools"),
    (NotImplementedError, "can't be asked; give the member another model"),  # pydantic-ai's word for what a model can't
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What came of a try.

    Args:
        sentence: for people.
        again: whether another try may help.
        wait: seconds that the endpoint asks to wait.
        silent: whether the time was over.
        unstreamed: whether it may be the stream that it doesn't like.
        paid: whether it may have been paid for; what was refused, or never arrived, wasn't.
        setup: whether it lies in how the member or the server is set up, and so befalls each call.
    """

    sentence: str
    again: bool = False
    wait: float | None = None
    silent: bool = False
    unstreamed: bool = False
    paid: bool = False
    setup: bool = False


def about(error: Exception, model: Model, timeout: float, *, over: bool) -> Complaint:
    """What came of a try that ended with an error.

    Args:
        error: whatever it is.
        model: which was asked.
        timeout: seconds that the try had.
        over: whether they are over.
    """
    who = f"{model.model_name} at {model.system}"
    ours = next((each for each in chain(error) if isinstance(each, Failure)), None)
    if ours:
        return Complaint(ours.detail, setup=isinstance(ours, AddressRefused), paid=isinstance(ours, TooMuch))
    if over:
        return Complaint(
            f"{who} gave no whole answer within {timeout:g} s; raise the timeout of the member, or see what keeps it.",
            again=True,
            silent=True,
            paid=True,
        )
    refusal = next((sentence for kind, sentence in REFUSALS if isinstance(error, kind)), None)
    if refusal:
        return Complaint(
            f"{who} {refusal}.",
            unstreamed=isinstance(error, NotImplementedError),  # raised by a model that can't stream
            setup=isinstance(error, ModelQuotaExceededError),
        )
    status = next((found for each in chain(error) if (found := getattr(each, "status_code", None))), None)
    if isinstance(status, int) and isinstance(error, ModelAPIError):
        return _of_status(status, error, who, model)
    if isinstance(error, ModelAPIError) and not isinstance(error, ModelRequestRejectedError):
        sentence = f"{who} can't be reached, or hangs up; see whether it runs."
        arrived = not (isinstance(error, ModelConnectionError) and error.phase in {"pool", "connect"})
        return Complaint(sentence, again=True, wait=error.retry_after, paid=arrived)
    return Complaint(
        f"{who} answers what is no answer of a model, or half of one; see what runs there.",
        again=not isinstance(error, ModelRequestRejectedError),
        unstreamed=isinstance(error, UnexpectedModelBehavior) and "ended without" in error.message,
        paid=not isinstance(error, ModelRequestRejectedError),
    )


def _of_status(status: int, error: ModelAPIError, who: str, model: Model) -> Complaint:
    unstreamed = status in UNSTREAMED and "stream" in str(error.body).lower()
    if status in AGAIN or status >= 500:  # noqa: PLR2004  # HTTP's own border
        sentence = (
            f"{who} is overloaded or allows no more calls now ({status}); try later, or give the member another model."
        )
        return Complaint(sentence, again=True, wait=error.retry_after, unstreamed=unstreamed)
    if 300 <= status < 400:  # noqa: PLR2004  # as above
        return Complaint(
            f"{who} sends elsewhere ({status}), where nobody goes by itself; name that address instead.", setup=True
        )
    said = SENTENCES.get(status, "refuses the request")
    return Complaint(
        f"{who} {said} ({status}); {_remedy(status, model)}.", unstreamed=unstreamed, setup=status in SETUP
    )


def _remedy(status: int, model: Model) -> str:
    if status not in {401, 403}:
        return "check the model's name, its settings and the tools"
    if isinstance(model, Endpoint):
        return f"the administrator can give its key as {model.system}=… in SQUAD_KEYS"
    return "correct the provider's key in the server's environment"
