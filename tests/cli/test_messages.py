"""`asq send`, `inbox`, `ack`, `ask` and `answer`."""

from collections.abc import Callable

from agentsquad.schemas.messages import MessageSent, Received
from agentsquad.schemas.tasks import Asked, Task
from tests.cli.conftest import Type

Say = Callable[..., str]
Refused = Callable[..., str]


def test_a_message_is_read_once(say: Say) -> None:
    assert say("send", "The shop is open.", "--to", "ada") == "sent to ada"
    assert say("send", "To all", "--all") == "sent to ada"
    assert say("inbox", "--as", "ada", "--peek") == say("inbox", "--as", "ada", "--peek")
    first, second = say("inbox", "--as", "ada").splitlines()
    assert first.endswith("  owner: The shop is open.")
    assert second.endswith("  owner: To all")
    assert say("inbox", "--as", "ada") == "Nothing new."
    assert say("inbox", "--as", "ada", "--all").splitlines() == [first, second]
    assert say("ack", first.split()[0], "--as", "ada") == "Noted; 0 unread."


def test_a_question_is_asked_and_answered(say: Say) -> None:
    say("task", "create", "Cart is lost")
    say("task", "claim", "--as", "ada")
    asked = say("ask", "Keep the old cookie name?", "-d", "It is cart_v1.", "--task", "1", "--as", "ada")
    assert asked == "#2 asks owner; #1 waits"
    assert say("inbox") == '#2 ada asks: "Keep the old cookie name?"   asq answer 2 …\nIt is cart_v1.'
    assert say("answer", "2", "yes") == "#2 done"
    assert say("inbox") == "Nothing new."
    assert say("why", "1").startswith("#1 ")


def test_programs_get_the_schemas(say: Say, typed: Type) -> None:
    say("task", "create", "Cart is lost")
    say("task", "claim", "--as", "ada")
    assert MessageSent(**typed("send", "hi", "--task", "1", "--json").json).recipients == ["ada"]
    inbox = typed("inbox", "--as", "ada", "--json").json
    assert [Received(**message).body for message in inbox["messages"]] == ["hi"]
    assert typed("ack", str(inbox["messages"][0]["position"]), "--as", "ada", "--json").json == {"unread": 0}
    asked = Asked(**typed("ask", "Why?", "--task", "1", "--as", "ada", "--json").json)
    assert [Task(**task).title for task in typed("inbox", "--json").json["questions"]] == ["Why?"]
    assert Task(**typed("answer", str(asked.question.number), '{"no": 1}', "--json").json).result == {"no": 1}


def test_refusals(say: Say, refused: Refused) -> None:
    assert refused(2, "send", "hi") == "To whom? Say --to MEMBER, --task N or --all."
    assert refused(2, "send", "hi", "--to", "nobody") == "There is no member nobody."
    assert refused(2, "send", "hi", "--task", "99") == "There is no task #99."
    assert refused(2, "send", "", "--all").startswith("body can't be used: ")
    assert refused(2, "send", "-", "--all", stdin=b"x" * 300_000).startswith("body can't be used: ")
    assert refused(3, "ack", "99").startswith("There is no message 99")
    assert refused(2, "ack", "0").startswith("messages.0 can't be used: ")
    assert refused(5, "ask", "Why?", "--task", "1").startswith("owner doesn't hold #1")
    assert refused(3, "answer", "99", "yes") == "Task not found"
    say("task", "create", "x")
    assert refused(4, "answer", "1", "yes").endswith(".")


def test_an_inbox_longer_than_a_page_is_shown_bit_by_bit(say: Say) -> None:
    for number in range(51):
        say("send", f"no {number}", "--to", "ada")
    shown = say("inbox", "--as", "ada").splitlines()
    assert len(shown) == 51
    assert shown[-1] == "1 more unread; ask again."
    assert len(say("inbox", "--as", "ada", "--all").splitlines()) == 51
