"""What goes wrong between the runner and the outside: each is one sentence that holds no key, header or body."""

from collections.abc import Iterator


class Failure(Exception):
    """Base of these.

    Args:
        detail: one sentence for a person, with the remedy where there is one.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class AddressRefused(Failure):
    """A member's configuration leads where the administrator has allowed nobody to go."""


class TooMuch(Failure):
    """An answer is larger than anything that is asked for, or packed."""


class ModelFailed(Failure):
    """The model gave no answer, and asking again would help nobody now.

    Args:
        detail: as above.
        calls: how many requests were made.
        paid: whether one of them may have been paid for: it was sent, and what came of it isn't known.
        passing: whether it may pass, so that another attempt may have an answer.
        setup: whether it lies in how the member or the server is set up, so that no task of this member gets one.
    """

    def __init__(
        self, detail: str, calls: int = 0, *, paid: bool = False, passing: bool = False, setup: bool = False
    ) -> None:
        super().__init__(detail)
        self.calls = calls
        self.paid = paid
        self.passing = passing
        self.setup = setup


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it came of, and what it holds where it is a group."""
    left, seen = [error], set[int]()
    while left:
        each = left.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            left.extend(found for found in (each.__context__, each.__cause__) if found)
            left.extend(each.exceptions if isinstance(each, BaseExceptionGroup) else ())
