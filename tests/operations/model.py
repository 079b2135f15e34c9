"""The board in plain Python: what the design says comes of each operation, and with which error it is refused.

It knows nothing of the SQL. A refused operation may leave it half changed: whoever plays with it gives it a copy.
Members and tasks stand by keys that never change; a member's name can.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentsquad.schemas.tasks import TaskEdit, TaskNew
from backend.core import errors

ENDED = ("done", "failed", "cancelled")
TRIES = 3


@dataclass
class Member:
    """Someone of the squad."""

    name: str
    role: str = ""
    kind: str = "external"
    paused: bool = False
    retired: bool = False


@dataclass(frozen=True)
class By:
    """Who acts: a member, or the owner in the place of one."""

    key: str
    instead_of: str | None = None


@dataclass
class Task:
    """A task; `over` once its lease is."""

    creator: str
    role: str
    assignee: str | None
    review: str | None
    priority: int
    depends_on: set[int]
    parent: int | None
    status: str = "todo"
    blocked_on: str | None = None
    holder: str | None = None
    worker: str | None = None
    over: bool = False
    attempt: int = 0
    tries_left: int = TRIES
    rejections: int = 0
    result: Any = None


def refuse(kind: type[errors.SquadError], *, when: object) -> None:
    """Raise that error if there is a reason to."""
    if when:
        raise kind(kind.code)


@dataclass
class Board:
    """A squad whose owner is its first member."""

    members: dict[str, Member] = field(default_factory=lambda: {"owner": Member("owner", kind="person")})
    tasks: dict[int, Task] = field(default_factory=dict)
    paused: bool = False
    archived: bool = False

    # Who and what.

    def enter(self, by: By, *, archived: bool = False, owner: bool = False) -> str:
        """As whom one acts, if one may; for the owner alone, if so wanted."""
        refuse(errors.NotFound, when=by.key not in self.members or self.members[by.key].retired)
        if by.instead_of not in (None, by.key):
            refuse(errors.Forbidden, when=by.key != "owner")
            other = self.members.get(str(by.instead_of))
            refuse(errors.NotFound, when=other is None or other.retired)
            refuse(errors.Forbidden, when=other and other.kind != "external")
        refuse(errors.Archived, when=self.archived and not archived)
        me = by.instead_of or by.key
        refuse(errors.Forbidden, when=owner and me != "owner")
        return me

    def named(self, name: str | None, otherwise: type[errors.SquadError] = errors.Invalid) -> str:
        """A member who is there, by name."""
        found = [key for key, member in self.members.items() if member.name == name and not member.retired]
        refuse(otherwise, when=not found)
        return found[0]

    def task(self, number: int) -> Task:
        """A task that is there."""
        refuse(errors.NotFound, when=number not in self.tasks)
        return self.tasks[number]

    def own(self, by: By, number: int, *, owner: bool = False) -> Task:
        """A task, for its creator or the owner; or for the owner alone."""
        me = self.enter(by, owner=owner)
        task = self.task(number)
        refuse(errors.Forbidden, when=me not in ("owner", task.creator))
        return task

    def hold(self, me: str, number: int, attempt: int, *statuses: str) -> Task:
        """The fence."""
        task = self.task(number)
        refuse(errors.LostClaim, when=(task.holder, task.attempt, task.over) != (me, attempt, False))
        refuse(errors.WrongStatus, when=task.status not in statuses)
        return task

    # How one change leads to others.

    def unfinished(self, parent: int) -> list[int]:
        """The children that have not ended."""
        return [number for number, task in self.tasks.items() if task.parent == parent and task.status not in ENDED]

    def waits(self, start: Iterable[int], goal: int, *, families: bool = True) -> bool:
        """Whether one of them waits for the goal, over dependencies and over parents that wait for children."""
        seen, steps = set(), list(start)
        while steps:
            step = steps.pop()
            if step not in seen:
                seen.add(step)
                steps += self.tasks[step].depends_on
                steps += self.unfinished(step) if families and self.tasks[step].blocked_on == "children" else []
        return goal in seen

    def free(self, task: Task) -> None:
        """A task is free unless a dependency is not done."""
        waits = any(self.tasks[other].status != "done" for other in task.depends_on)
        task.status, task.blocked_on = ("blocked", "dependencies") if waits else ("todo", None)

    def let_go(self, task: Task, status: str) -> None:
        """End what attempt there is."""
        task.holder, task.over, task.status, task.blocked_on = None, False, status, None
        self.settle()

    def settle(self) -> None:
        """Free whatever waits for nothing any more."""
        for number, task in self.tasks.items():
            if task.blocked_on == "dependencies" or (task.blocked_on == "children" and not self.unfinished(number)):
                self.free(task)

    # Making and claiming.

    def create(self, by: By, new: Sequence[TaskNew]) -> None:
        me, first = self.enter(by), len(self.tasks) + 1
        keys = {item.key: first + at for at, item in enumerate(new) if item.key is not None}
        refuse(errors.Invalid, when=len(keys) != sum(item.key is not None for item in new))

        def number(reference: int | str, before: int) -> int:
            there = keys.get(reference, before) if isinstance(reference, str) else reference
            refuse(errors.Invalid, when=there >= before or (isinstance(reference, int) and there >= first))
            return there

        for at, item in enumerate(new, first):
            parent = None if item.parent is None else number(item.parent, at)
            refuse(errors.Invalid, when=parent and parent < first and self.tasks[parent].status in ENDED)
            assignee = None if item.assignee is None else self.named(item.assignee)
            edges = {number(other, first + len(new)) for other in item.depends_on}
            self.tasks[at] = Task(me, item.role, assignee, item.review, item.priority, edges, parent)
        made = range(first, first + len(new))
        refuse(errors.Invalid, when=any(self.waits(self.tasks[at].depends_on, at, families=False) for at in made))
        refuse(errors.Conflict, when=any(self.waits(self.tasks[at].depends_on, at) for at in made))
        for at in made:
            self.free(self.tasks[at])

    def claim(self, by: By, number: int | None, limit: int) -> list[int]:
        me = self.enter(by)
        self.lapse()
        member = self.members[me]
        paused = member.paused or self.paused
        if number is None:
            ranks = {number: self.rank(task, me) for number, task in self.tasks.items()}
            free = [] if paused else sorted(number for number, rank in ranks.items() if rank is not None)
            taken = sorted(free, key=lambda number: (ranks[number], self.tasks[number].priority, number))[:limit]
        else:
            task = self.task(number)
            refuse(errors.WrongStatus, when=task.holder or task.status not in ("todo", "in_review"))
            refuse(errors.Paused, when=paused)
            refuse(errors.Forbidden, when=self.rank(task, me) is None)
            taken = [number]
        for task in map(self.task, taken):
            task.holder, task.attempt = me, task.attempt + 1
            task.status = "in_review" if task.status == "in_review" else "in_progress"
        return taken

    def rank(self, task: Task, me: str) -> int | None:
        """How near a free task is to a member; None: it is not for that member."""
        role = self.members[me].role
        if task.holder or task.status not in ("todo", "in_review") or (task.status, task.worker) == ("in_review", me):
            return None
        if task.status == "todo" and task.assignee:
            return 0 if task.assignee == me else None
        wanted = task.review if task.status == "in_review" else task.role
        if wanted not in ("", role):
            return None
        return (1 if wanted else 3) + (task.status == "todo")

    # What a holder does.

    def heartbeat(self, by: By, number: int, attempt: int) -> None:
        self.hold(self.enter(by), number, attempt, "in_progress", "in_review")

    def complete(self, by: By, number: int, attempt: int, result: object) -> None:
        task = self.hold(self.enter(by), number, attempt, "in_progress")
        task.worker, task.result = task.holder, result
        self.let_go(task, "done" if task.review is None else "in_review")

    def fail(self, by: By, number: int, attempt: int, *, retry: bool) -> None:
        task = self.hold(self.enter(by), number, attempt, "in_progress")
        task.tries_left -= retry
        self.let_go(task, "todo" if retry and task.tries_left > 0 else "failed")

    def release(self, by: By, number: int, attempt: int) -> None:
        task = self.hold(self.enter(by), number, attempt, "in_progress", "in_review")
        self.let_go(task, "todo" if task.status == "in_progress" else "in_review")

    def handoff(self, by: By, number: int, attempt: int, to: str | None, role: str | None) -> None:
        task = self.hold(self.enter(by), number, attempt, "in_progress")
        task.assignee = None if to is None else self.named(to)
        task.role = task.role if role is None else role
        self.let_go(task, "todo")

    def wait_for_children(self, by: By, number: int, attempt: int) -> None:
        task = self.hold(self.enter(by), number, attempt, "in_progress")
        refuse(errors.Conflict, when=self.waits(self.unfinished(number), number))
        task.assignee, task.holder, task.status, task.blocked_on = task.holder, None, "blocked", "children"
        self.settle()

    def ask(self, by: By, number: int, attempt: int, to: str | None) -> None:
        self.hold(me := self.enter(by), number, attempt, "in_progress", "in_review")
        person = "owner" if to is None else self.named(to)
        refuse(errors.Forbidden, when=self.members[person].kind != "person")
        self.tasks[len(self.tasks) + 1] = Task(me, "", person, None, 2, set(), number)
        self.wait_for_children(by, number, attempt)

    def accept(self, by: By, number: int, attempt: int) -> None:
        self.let_go(self.hold(self.enter(by), number, attempt, "in_review"), "done")

    def reject(self, by: By, number: int, attempt: int) -> None:
        task = self.hold(self.enter(by), number, attempt, "in_review")
        task.rejections += 1
        if task.worker is not None and not self.members[task.worker].retired:
            task.assignee = task.worker
        self.let_go(task, "todo")

    def lapse(self) -> int:
        over = [task for task in self.tasks.values() if task.over]
        for task in over:
            work = task.status == "in_progress"
            task.tries_left -= work
            self.let_go(task, "in_review" if not work else "todo" if task.tries_left > 0 else "failed")
        return len(over)

    # What a creator, the owner and the person who is asked do.

    def update(self, by: By, number: int, edit: TaskEdit) -> None:
        task, given = self.own(by, number), edit.model_dump(exclude_unset=True)
        loses_review = task.status == "in_review" and given.get("review", "") is None
        refuse(errors.WrongStatus, when=task.status == "done" or loses_review)
        if given.get("assignee") is not None:
            given["assignee"] = self.named(given["assignee"])
        vars(task).update({name: value for name, value in given.items() if name in vars(task)})

    def add_dependency(self, by: By, number: int, other: int) -> None:
        task = self.own(by, number)
        refuse(errors.WrongStatus, when=task.status in ("in_progress", "in_review", "done"))
        self.task(other)
        refuse(errors.Conflict, when=self.waits([other], number))
        task.depends_on.add(other)
        if task.status == "todo":
            self.free(task)

    def remove_dependency(self, by: By, number: int, other: int) -> None:
        task = self.own(by, number)
        refuse(errors.WrongStatus, when=task.status in ("in_progress", "in_review", "done"))
        refuse(errors.NotFound, when=other not in task.depends_on)
        task.depends_on.remove(other)
        self.settle()

    def cancel(self, by: By, number: int, *, cascade: bool) -> None:
        refuse(errors.WrongStatus, when=self.own(by, number).status in ENDED)
        reached = [number]
        for step in reached if cascade else ():
            dependents = [n for n, t in self.tasks.items() if step in t.depends_on and t.status not in ENDED]
            reached += [n for n in dict.fromkeys(self.unfinished(step) + dependents) if n not in reached]
        for task in [self.own(by, each) for each in reached]:
            self.let_go(task, "cancelled")

    def retry(self, by: By, number: int) -> None:
        task = self.own(by, number)
        refuse(errors.WrongStatus, when=task.status not in ("failed", "cancelled"))
        task.tries_left, task.rejections = TRIES, 0
        self.free(task)
        refuse(errors.Conflict, when=self.waits(task.depends_on, number))

    def block(self, by: By, number: int, on: str) -> None:
        task = self.own(by, number, owner=True)
        refuse(errors.WrongStatus, when=task.status not in ("todo", "in_progress"))
        self.let_go(task, "blocked")
        task.blocked_on = on

    def resume(self, by: By, number: int) -> None:
        task = self.own(by, number, owner=True)
        refuse(errors.WrongStatus, when=task.blocked_on not in ("budget", "stalled"))
        self.free(task)

    def answer(self, by: By, number: int, said: object) -> None:
        me, task = self.enter(by), self.task(number)
        refuse(errors.WrongStatus, when=task.status != "todo")
        refuse(errors.Forbidden, when=self.members[me].kind != "person" or task.assignee != me)
        task.result, task.worker, task.attempt = said, me, task.attempt + 1
        self.let_go(task, "done")

    # The squad, its members and their messages.

    def send(self, by: By, to: str | None, task: int | None) -> None:
        self.enter(by)
        if to is not None:
            self.named(to)
        refuse(errors.Invalid, when=task is not None and task not in self.tasks)

    def attend(self, by: By, *, there: bool) -> None:
        """Mark a message as read, or as taken care of; whether it is in the inbox is for the caller to know."""
        self.enter(by)
        refuse(errors.NotFound, when=not there)

    def add(self, by: By, key: str, name: str, role: str) -> None:
        self.enter(by, owner=True)
        refuse(errors.AlreadyExists, when=any(member.name == name for member in self.members.values()))
        self.members[key] = Member(name, role)

    def edit(self, by: By, name: str, changes: dict[str, str]) -> None:
        self.enter(by, owner=True)
        key = self.named(name, errors.NotFound)
        others = [member.name for other, member in self.members.items() if other != key]
        refuse(errors.AlreadyExists, when=changes.get("name") in others)
        vars(self.members[key]).update(changes)

    def pause(self, by: By, name: str | None, *, now: bool, paused: bool = True) -> None:
        """Pause or resume a member, or the squad."""
        self.enter(by, owner=True)
        key = None if name is None else self.named(name, errors.NotFound)
        if key is None:
            self.paused = paused
        else:
            self.members[key].paused = paused
        if now:
            self.let_go_all(key)

    def retire(self, by: By, name: str) -> None:
        self.enter(by, owner=True)
        key = self.named(name, errors.NotFound)
        refuse(errors.Forbidden, when=key == "owner")
        self.let_go_all(key)
        for task in self.tasks.values():
            task.assignee = None if task.assignee == key and task.status != "done" else task.assignee
        self.members[key].retired = True

    def archive(self, by: By, *, archived: bool) -> None:
        self.enter(by, archived=True, owner=True)
        if archived:
            self.let_go_all(None)
        self.archived = archived

    def let_go_all(self, holder: str | None) -> None:
        """End the live attempts of a member, or of all."""
        for task in self.tasks.values():
            if task.holder and holder in (None, task.holder):
                self.let_go(task, "todo" if task.status == "in_progress" else task.status)
