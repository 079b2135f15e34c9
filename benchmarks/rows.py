"""The rows of the table, each measured as its side's users would run it."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from benchmarks import check, cpu
from benchmarks.bench import SIDES, Bench
from benchmarks.data import BULK, SQUADS
from benchmarks.measure import Row, best, interleaved, rotated
from benchmarks.processes import Child
from benchmarks.servers import Server
from benchmarks.worker import AT_ONCE

BASES = ("b0", "b1", "b2")
BUSY = 0.9  # from this share of a core on, the load generator is the limit
NEAR = 0.8  # and from this share of its ceiling on
LEVEL = 64  # clients, in the rows for one number of them
B0_LEVEL = 16  # the same for B0, which hangs at more
TRIPS = 200
SYNCHRONOUS_BURST = 100  # more is not tried on sides with 40 threads
WRITTEN = "email || name || is_active || is_admin"
LIMIT_OF_READS = 0.85

Report = Callable[[str], None]


@dataclass
class Findings:
    """Everything that was measured.

    Args:
        rows: the table.
        ceiling: what the load generator reaches against a server that does nothing, by number of clients.
        latency: median and 99th percentile in seconds, by side and number of clients.
    """

    rows: list[Row] = field(default_factory=list)
    ceiling: dict[int, float] = field(default_factory=dict)
    latency: dict[str, dict[int, tuple[float, float]]] = field(default_factory=dict)

    def add(self, row: Row) -> Row:
        """One more row."""
        self.rows.append(row)
        return row


def direct(bench: Bench, findings: Findings, report: Report, wanted: Callable[[str], bool]) -> None:
    """Reads without HTTP: one after another, many at once, and a page of squads."""
    with bench.workers(bench.url) as workers:
        check.direct(workers, 12)
        bench.body.write_text(workers["ours"].ask(do="answer", row="select"))
        for name, title, unit, targets in (
            ("select", "SELECT by key, one after another", "reads/s", {"b0": 4.0, "b1": 2.0}),
            ("concurrent", f"SELECT by key, {AT_ONCE} at once", "reads/s", {"b0": 10.0, "b1": 5.0}),
            ("join", f"JOIN, {SQUADS} squads with owner and 5 members", "pages/s", {"b0": 8.0, "b1": 2.5}),
        ):
            if wanted(name):
                report(title)
                figures = _timed(bench, workers, name)
                findings.add(Row(name, title, unit, figures, targets | {"limit": LIMIT_OF_READS}))


def _timed(bench: Bench, workers: Mapping[str, Child], row: str) -> dict[str, list[float]]:
    sides = [*workers, "limit_together"] if row == "concurrent" else list(workers)
    counts = {side: _count(*_way(workers, side, row), bench.plan.seconds) for side in sides}

    def measure(side: str) -> float:
        worker, command = _way(workers, side, row)
        seconds: float = worker.ask(do="run", row=command, count=counts[side])
        return counts[side] / seconds

    return interleaved(sides, bench.plan.rounds, measure)


def _way(workers: Mapping[str, Child], side: str, row: str) -> tuple[Child, str]:
    """Whom to ask for what; a side that has two ways names the second one behind an underscore."""
    name, _, way = side.partition("_")
    return workers[name], f"{row}_{way}" if way else row


def _count(worker: Child, row: str, seconds: float) -> int:
    """How many fill a turn, by a trial that also warms the side up."""
    step = {"select": 20, "join": 1}.get(row, AT_ONCE)
    worker.ask(do="run", row=row, count=step)
    took: float = worker.ask(do="run", row=row, count=2 * step) / 2
    return max(1, round(seconds / took)) * step


def insert(bench: Bench, findings: Findings, report: Report) -> None:
    """10,000 new accounts in one transaction, into an empty table."""
    title = f"INSERT of {BULK:,} rows"
    report(title)
    sides = ("b0", "b0_core", "b1", "b2", "ours", "limit")
    with bench.workers(bench.bulk_url) as workers:

        def measure(side: str) -> float:
            bench.query("TRUNCATE users CASCADE", bench.bulk_url)
            worker, command = _way(workers, side, "insert")
            seconds: float = worker.ask(do="run", row=command)
            return BULK / seconds

        written = {}
        for side in sides:
            measure(side)
            written[side] = bench.query(
                f"SELECT count(*), md5(string_agg({WRITTEN}, ',' ORDER BY email)) FROM users", bench.bulk_url
            )
        check.equal("insert", written)
        figures = interleaved(sides, bench.plan.rounds, measure)
    findings.add(Row("insert", title, "rows/s", figures, {"b0": 6.0, "b0_core": 2.0}))


def servers(bench: Bench, url: str) -> dict[str, Server]:
    """Every side's server, with a key check."""
    extra = bench.variables(url)
    return {
        "b0": Server("benchmarks.b0:app", extra),
        "b1": Server("benchmarks.b1:app", extra),
        "b2": Server("benchmarks.b2:app", extra),
        "ours": Server("backend.app:app", extra),
        "limit": Server("benchmarks.limit:app", extra),
    }


def open_servers(bench: Bench, given: Mapping[str, Server]) -> dict[str, Server]:
    """Every side's server without a key check; the product needs one of its own."""
    extra = bench.variables(bench.url)
    same = {side: Server("benchmarks." + side + ":app", extra, path="/open/users/") for side in BASES}
    return {**same, "ours": Server("benchmarks.ours:without_keys", extra, factory=True), "limit": given["limit"]}


class Http:
    """Turns of the load generator against the servers, and what they cost.

    Args:
        bench: with the rounds to run.
        servers: by side.
        load: the generator.
    """

    def __init__(self, bench: Bench, servers: Mapping[str, Server], load: Child) -> None:
        self._plan = bench.plan
        self._servers = servers
        self._load = load
        self._postmaster = bench.postmaster() if cpu.AVAILABLE else 0
        self.rates: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.hangs: dict[tuple[str, int], int] = defaultdict(int)
        self.refused: dict[tuple[str, int], int] = defaultdict(int)
        self.busy: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.server_cpu: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.database_cpu: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.times: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
        for server in servers.values():
            self._warm(server)

    def run(self, levels: Mapping[str, tuple[int, ...]]) -> None:
        """All rounds; at each number of clients the sides follow one another."""
        every = sorted({level for some in levels.values() for level in some})
        for number in range(self._plan.rounds):
            for level in every:
                for side in rotated(list(self._servers), number):
                    if level in levels[side]:
                        self.turn(side, level)

    def turn(self, side: str, level: int) -> None:
        """One side's turn at one number of clients."""
        server = self._servers[side]
        before = self._used(server)
        got = self._slice(server, level, self._plan.http_seconds)
        after = self._used(server)
        self.refused[side, level] += got["refused"]
        self.rates[side][level].append(got["rate"])
        self.busy[side, level].append(got["busy"])
        if got["p50"] is not None:
            self.times[side, level].append((got["p50"], got["p99"]))
        if got["hangs"]:
            self.hangs[side, level] += 1
            server.restart()
            self._warm(server)
        elif got["total"] and before and after:
            self.server_cpu[side, level].append((after[0] - before[0]) * 1000 / got["total"])
            self.database_cpu[side, level].append((after[1] - before[1]) * 1000 / got["total"])

    def row(self, name: str, title: str, levels: Mapping[str, int], ceiling: Mapping[int, float]) -> Row:
        """Requests a second, each side at its number of clients."""
        row = Row(name, title, "requests/s", {side: self.rates[side][level] for side, level in levels.items()})
        for side, level in levels.items():
            rate = statistics.median(row.rounds[side])
            if statistics.median(self.busy[side, level]) > BUSY or rate > NEAR * ceiling.get(level, rate * 2):
                row.held_by.append(side)
            if level != levels["ours"]:
                row.notes[side] = f"at {level}"
            if self.hangs[side, level]:
                row.notes[side] = f"hung in {self.hangs[side, level]} of {self._plan.rounds} rounds"
            elif self.refused[side, level]:
                row.notes[side] = f"{self.refused[side, level]} refused"
        return row

    def latency(self) -> dict[str, dict[int, tuple[float, float]]]:
        """Median and 99th percentile, by side and number of clients."""
        found: dict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
        for (side, level), times in self.times.items():
            found[side][level] = (statistics.median(p for p, _ in times), statistics.median(p for _, p in times))
        return dict(found)

    def _slice(self, server: Server, level: int, seconds: float) -> dict[str, Any]:
        got: dict[str, Any] = self._load.ask(
            do="slice",
            port=server.port,
            path=server.path,
            clients=level,
            warm=self._plan.warm_seconds,
            seconds=seconds,
        )
        return got

    def _warm(self, server: Server) -> None:
        server.ready()
        self._slice(server, 4, 0.2)

    def _used(self, server: Server) -> tuple[float, float] | None:
        return (cpu.of(server.pid), cpu.of_family(self._postmaster)) if cpu.AVAILABLE else None


def http(bench: Bench, findings: Findings, report: Report, wanted: Callable[[str], bool]) -> None:
    """Requests over HTTP, with and without a key check, and what they cost in CPU seconds."""
    levels = bench.plan.levels
    with ExitStack() as stack:
        load = stack.enter_context(bench.load())
        findings.ceiling = ceiling(bench, load)
        keyed = stack.enter_context(bench.serving(servers(bench, bench.url)))
        clients = bench.data.clients[:3]
        check.http(keyed, clients, with_key=True)
        if any(map(wanted, ("http", "cpu"))):
            report(f"HTTP with a key check, {', '.join(map(str, levels))} clients")
            measured = Http(bench, keyed, load)
            measured.run(dict.fromkeys(keyed, levels))
            findings.latency = measured.latency()
            _http_rows(measured, findings, levels)
        for server in [keyed[side] for side in ("b0", "b1", "b2", "ours")]:
            server.kill()
        if wanted("http"):
            report("HTTP without a key check")
            free = open_servers(bench, keyed)
            stack.enter_context(bench.serving({side: free[side] for side in free if side != "limit"}))
            check.http(free, clients, with_key=False)
            measured = Http(bench, free, load)
            measured.run(dict.fromkeys(free, bench.plan.open_levels))
            for level in bench.plan.open_levels:
                title = f"GET without a key check, {_clients(level)}"
                findings.add(measured.row(f"http_open_{level}", title, dict.fromkeys(SIDES, level), findings.ceiling))


def _http_rows(measured: Http, findings: Findings, levels: tuple[int, ...]) -> None:
    for level in levels:
        title = f"GET /users/…, {_clients(level)}"
        findings.add(measured.row(f"http_{level}", title, dict.fromkeys(SIDES, level), findings.ceiling))
    at = {side: best(measured.rates[side]) for side in BASES} | {"ours": LEVEL, "limit": LEVEL}
    title = f"GET /users/…, {LEVEL} clients; the others at their best"
    row = findings.add(measured.row("http_best", title, at, findings.ceiling))
    row.targets = {"b0": 10.0, "b1": 4.0}
    if not cpu.AVAILABLE:
        return
    at = dict.fromkeys(SIDES, LEVEL) | {"b0": B0_LEVEL}
    for name, what, used in (
        ("cpu_server", "the server", measured.server_cpu),
        ("cpu_database", "PostgreSQL", measured.database_cpu),
    ):
        figures = {side: used[side, level] for side, level in at.items() if used[side, level]}
        if name == "cpu_database":
            figures.pop("limit", None)
        title = f"CPU of {what} for 1,000 GETs, {LEVEL} clients"
        findings.add(Row(name, title, "s", figures, lower_is_better=True, notes={"b0": f"at {B0_LEVEL}"}))


def _clients(level: int) -> str:
    return "1 client" if level == 1 else f"{level} clients"


def ceiling(bench: Bench, load: Child) -> dict[int, float]:
    """What the load generator reaches against something that does nothing."""
    with Child("echo", extra={}) as echo:
        port = echo.ask()
        return {
            level: statistics.median(
                load.ask(do="slice", path="/users/", port=port, clients=level, warm=0.05, seconds=0.3)["rate"]
                for _ in range(3)
            )
            for level in bench.plan.levels
        }


def held(bench: Bench, findings: Findings, report: Report) -> None:
    """How many requests can be open at once: so many are opened, and those count that were surely held side by side."""
    plan = bench.plan
    title = f"Requests held open at once, at most {max(plan.bursts):,}"
    report(title)
    extra = bench.variables(bench.url)
    waiting = {
        "b0": Server("benchmarks.b0:app", extra, path="/held/users/"),
        "b1": Server("benchmarks.b1:app", extra, path="/held/users/"),
        "b2": Server("benchmarks.b2:held", extra, factory=True, path="/open/users/"),
        "ours": Server("benchmarks.ours:held", extra, factory=True),
    }
    with bench.load() as load, bench.serving(waiting):

        def opened(side: str, count: int) -> float:
            server = waiting[side]
            server.ready()
            within = plan.within * plan.hold_seconds
            got = load.ask(do="held", path=server.path, port=server.port, clients=count, within=within)
            if got["answered"] < count:
                server.restart()
            return float(got["answered"])

        most = {side: _most(plan.bursts, side, opened) for side in waiting}
        figures = interleaved(list(waiting), plan.rounds, lambda side: opened(side, most[side]))
    findings.add(Row("held", title, "requests", figures, {"b0": 100.0}))


def _most(bursts: Sequence[int], side: str, opened: Callable[[str, int], float]) -> int:
    """The largest number of requests that a side answers all when they come at once; what is too much can hang it."""
    synchronous = side in ("b0", "b1")
    for count in sorted(bursts, reverse=True):
        if (not synchronous or count <= SYNCHRONOUS_BURST) and opened(side, count) == count:
            return count
    return min(bursts)


def network(bench: Bench, findings: Findings, report: Report) -> None:
    """Round trips, and what they cost when the database is a millisecond away."""
    report("Round trips, and 1 ms of network to the database")
    with bench.network(1.0) as proxy:
        with bench.workers(bench.slow_url) as workers:
            trips = {}
            for side, worker in workers.items():
                worker.ask(do="run", row="select", count=20)
                before = proxy.ask()
                worker.ask(do="run", row="select", count=TRIPS)
                trips[side] = [(proxy.ask() - before) / TRIPS]
            findings.add(Row("trips", "Round trips per SELECT by key", "trips", trips, lower_is_better=True))
            for name, title in (
                ("select", "SELECT by key, 1 ms from the database"),
                ("concurrent", f"SELECT by key, {AT_ONCE} at once, 1 ms away"),
            ):
                figures = _timed(bench, workers, name)
                findings.add(Row(f"{name}_1ms", title, "reads/s", figures))
        keyed = {side: server for side, server in servers(bench, bench.slow_url).items() if side != "limit"}
        with bench.load() as load, bench.serving(keyed):
            measured = Http(bench, keyed, load)
            at = dict.fromkeys(keyed, LEVEL) | {"b0": B0_LEVEL}
            trips = {}
            for side, server in keyed.items():
                before = proxy.ask()
                got = load.ask(do="slice", path=server.path, port=server.port, clients=1, warm=0.0, seconds=0.5)
                trips[side] = [(proxy.ask() - before) / got["total"]]
            title = "Round trips per GET /users/… with its key check"
            findings.add(Row("trips_http", title, "trips", trips, lower_is_better=True))
            measured.run({side: (level,) for side, level in at.items()})
            title = f"GET /users/…, {LEVEL} clients, 1 ms from the database"
            findings.add(measured.row("http_1ms", title, at, findings.ceiling))
