"""`Client`: the same for code that isn't asynchronous."""

import contextlib
import inspect
import signal
import threading

import pytest

from agentsquad.client import AsyncClient, Client, Invalid, LostClaim, NotFound
from agentsquad.schemas.tasks import TaskNew


def test_it_has_every_method(web: str) -> None:
    with Client() as client:
        names = [name for name, each in inspect.getmembers(AsyncClient, inspect.isfunction) if not name.startswith("_")]
        assert names
        assert all(callable(getattr(client, name)) for name in names)
        assert set(names) <= set(dir(client))
        with pytest.raises(AttributeError):
            client.nonesuch()


def test_it_works_as_a_member(web: str) -> None:
    with Client() as owner, Client(member="tess") as squad:
        owner.create_tasks([TaskNew(title="a"), TaskNew(title="b")])
        for claim in squad.work(role="tester"):
            claim.complete(claim.task.title)
            if claim.task.number == 2:
                break
        assert [task.result for task in owner.tasks()] == ["a", "b"]
        assert not claim.live
        with pytest.raises(LostClaim):
            claim.complete("again")


def ended(error: BaseException) -> tuple[str | None, str | None]:
    """How the task ends of a worker whose body raises."""
    with Client() as owner:
        owner.create_tasks([TaskNew(title="a")])
        with contextlib.suppress(type(error)), Client(member="ada") as squad:
            for _ in squad.work():
                raise error
        (attempt,) = owner.attempts(1)
        return attempt.outcome, attempt.reason


def test_a_body_that_raises_fails_its_task_with_the_error(web: str) -> None:
    assert ended(KeyError("cart")) == ("failed", "KeyError: 'cart'")


def test_a_worker_that_is_interrupted_gives_its_task_back(web: str) -> None:
    assert ended(KeyboardInterrupt()) == ("released", "The worker was stopped.")


def test_a_wait_can_be_interrupted(web: str) -> None:
    main = threading.get_ident()
    with contextlib.suppress(KeyboardInterrupt), Client(member="ada") as squad:
        threading.Timer(0.5, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
        for _ in squad.work():
            pytest.fail("there is nothing to do")


def test_what_cannot_be_opened_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(Invalid), Client("nonsense"):
        pass
    assert threading.active_count() == before


def test_leaving_the_loop_leaves_nothing_held_and_no_thread(web: str) -> None:
    before = threading.active_count()
    with Client() as owner:
        owner.create_tasks([TaskNew(title="a")])
        with Client(member="ada") as squad:
            for _ in squad.work():
                break
        assert [each.outcome for each in owner.attempts(1)] == ["failed"]
    assert threading.active_count() == before


def test_a_feed_is_an_iterator(web: str) -> None:
    with Client() as client:
        feed = client.feed()
        assert [next(feed).position for _ in range(3)] == [1, 2, 3]
        feed.close()


def test_errors_come_out_as_they_are(web: str) -> None:
    with Client() as client, pytest.raises(NotFound, match="Task not found"):
        client.task(99)
