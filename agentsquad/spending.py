"""What was spent and may be, in words. A price that nobody knows is unknown, and never zero."""

from collections.abc import Callable
from typing import Any, Final

from agentsquad.schemas.budgets import Budget, Spent
from agentsquad.schemas.steps import ASKING, Step

UNKNOWN: Final = "unknown"
LEAST: Final = 0.0001  # dollars that are told; less is said to be less


def dollars(amount: float) -> str:
    """An amount, to the hundredth of a cent."""
    if 0 < amount < LEAST:
        return f"under ${LEAST}"
    whole, _, rest = f"{amount:,.4f}".partition(".")
    return f"${whole}.{rest.rstrip('0').ljust(2, '0')}"


def cost(spent: Spent) -> str:
    """What it has cost, and how many calls nobody knows the price of."""
    return _cost(dollars(spent.cost) if spent.cost or not spent.unpriced else "", spent.unpriced)


def amounts(budget: Budget) -> tuple[str, str, str]:
    """Calls, tokens and cost of a budget: what is spent, what calls under way may take, and the limit."""
    known = ""
    if budget.cost or budget.reserved_cost or budget.max_cost is not None or not budget.unpriced:
        known = _amount(dollars, budget.cost, budget.reserved_cost, budget.max_cost)
    return (
        _amount("{:,}".format, budget.calls, budget.reserved_calls, budget.max_calls),
        _amount("{:,}".format, budget.tokens, budget.reserved_tokens, budget.max_tokens),
        _cost(known, budget.unpriced),
    )


def _amount(say: Callable[[Any], str], spent: float, reserved: float, most: float | None) -> str:
    under_way = f" + {say(reserved)} under way" if reserved else ""
    return f"{say(spent)}{under_way}{'' if most is None else f' of {say(most)}'}"


def _cost(known: str, unpriced: int) -> str:
    calls = f"{unpriced:,} call{'' if unpriced == 1 else 's'} of unknown price" if unpriced else ""
    return " + ".join(filter(None, (known, calls)))


def limits(cost: float | None, tokens: int | None, calls: int | None) -> str:
    """The limits of a budget."""
    given = (
        "" if cost is None else dollars(cost),
        "" if tokens is None else f"{tokens:,} tokens",
        "" if calls is None else f"{calls:,} calls",
    )
    return ", ".join(filter(None, given)) or "no limit"


def tokens_of(step: Step) -> str:
    """How many tokens a step took, or may have taken; nothing for one that asks no model."""
    if step.kind not in ASKING:
        return ""
    if step.input_tokens is None:
        return f"up to {step.reserved_tokens:,}"
    return f"{step.input_tokens + (step.output_tokens or 0):,}"


def cost_of(step: Step) -> str:
    """What a step has cost, or may have cost; nothing for one that asks no model."""
    if step.kind not in ASKING:
        return ""
    if step.cost is not None:
        return dollars(step.cost)
    if step.input_tokens is None and step.reserved_cost is not None:
        return f"up to {dollars(step.reserved_cost)}"
    return UNKNOWN
