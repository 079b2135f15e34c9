"""One `DATABASE_URL` in, the addresses of both drivers out: every difference between them is settled here."""

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode

from sqlalchemy import URL

from backend.core.errors import StartError

PORT: Final = 5432
CONNECT_TIMEOUT: Final = "10"  # seconds, where the address says nothing: asyncpg would wait 60, libpq for minutes
# asyncpg takes these only inside a DSN, never as keywords.
_IN_DSN = ("application_name", "options", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword",
                  "ssl_min_protocol_version", "ssl_max_protocol_version", "sslnegotiation")  # fmt: skip
_SAME_IN_BOTH = ("passfile", "target_session_attrs", "krbsrvname", "gsslib", "service")
_LIBPQ_ONLY = ("channel_binding", "client_encoding", "fallback_application_name", "gssencmode", "keepalives",
                      "keepalives_idle", "keepalives_interval", "keepalives_count", "require_auth", "sslcompression",
                      "sslsni", "tcp_user_timeout")  # fmt: skip
_KNOWN: Final = frozenset({"sslmode", "connect_timeout", *_IN_DSN, *_SAME_IN_BOTH, *_LIBPQ_ONLY})
# What stands elsewhere in an address may also be a parameter.
_MOVED = ("host", "port", "user", "password", "dbname", "ssl")
_PARAMETERS: Final = re.compile(rf"\?(?=(?:{'|'.join(sorted(_KNOWN.union(_MOVED)))})=)")


@dataclass(frozen=True)
class Address:
    """A PostgreSQL address as libpq understands it.

    Args:
        hosts: (host, port) in the order in which they are tried; a host that starts with a slash
            is a folder of Unix sockets.
        options: the parameters behind the question mark, in libpq's names.
    """

    user: str | None
    password: str | None
    hosts: tuple[tuple[str, int], ...]
    database: str | None
    options: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `postgresql://` or `postgres://`, with or without a driver, also with several hosts.

        A password may hold any character: only the last `@` ends it.

        Raises:
            StartError: it is no address of a PostgreSQL database.
        """
        scheme, separator, rest = text.strip().partition("://")
        if not separator or scheme.partition("+")[0] not in ("postgresql", "postgres"):
            raise StartError("DATABASE_URL must begin with postgresql://; Agent Squad runs on nothing else.")
        rest, query = _split_query(rest)
        credentials, _, rest = rest.rpartition("@")
        user, _, password = credentials.partition(":")
        netloc, _, database = rest.partition("/")
        options = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))  # a plus is a plus, as in libpq
        if "ssl" in options:  # asyncpg's name for it
            options["sslmode"] = options.pop("ssl")
        ports = [_port(port) for port in options.pop("port", "").split(",")]
        named = options.pop("host", netloc)
        hosts = tuple(_host(part, ports[min(index, len(ports) - 1)]) for index, part in enumerate(named.split(",")))
        found = cls(
            options.pop("user", None) or unquote(user) or None,
            options.pop("password", None) or unquote(password) or None,
            hosts,
            options.pop("dbname", None) or unquote(database) or None,
            options,
        )
        if unknown := sorted(set(options) - _KNOWN):
            raise StartError(f"DATABASE_URL has the unknown parameter {unknown[0]}; remove it.")
        if not options.setdefault("connect_timeout", CONNECT_TIMEOUT).isdecimal():
            raise StartError("DATABASE_URL has an unusable connect_timeout; give whole seconds.")
        return found

    def for_sync(self) -> URL:
        """The address for psycopg2, which hands every parameter to libpq."""
        return self._url("postgresql+psycopg2", self.options)

    def for_async(self) -> URL:
        """The address for asyncpg, complete: another engine can be made of it."""
        query = {name: self.options[name] for name in _SAME_IN_BOTH if name in self.options}
        if "sslmode" in self.options:
            query["ssl"] = self.options["sslmode"]
        if within := {name: self.options[name] for name in _IN_DSN if name in self.options}:
            query["dsn"] = f"postgresql://?{urlencode(within, quote_via=quote)}"
        return self._url("postgresql+asyncpg", query)

    @property
    def connect_timeout(self) -> float | None:
        """Seconds until asyncpg, whose URL can't say it, gives a connection up; None for never."""
        return float(self.options["connect_timeout"]) or None

    def _url(self, driver: str, query: dict[str, str]) -> URL:
        (host, port), *others = self.hosts
        plain = bool(host) and not host.startswith("/") and not others
        if not plain and (host or others):
            hosts, ports = zip(*self.hosts, strict=True)
            query = query | {"host": ",".join(hosts), "port": ",".join(map(str, ports))}
        elif not host and port != PORT:  # a local socket, wherever the driver looks for it
            query = query | {"port": str(port)}
        return URL.create(
            driver,
            self.user,
            self.password,
            host if plain else None,
            port if plain else None,
            self.database,
            query,
        )


def _split_query(text: str) -> tuple[str, str]:
    """What stands before the parameters, and the parameters; a password may hold a question mark too."""
    for found in _PARAMETERS.finditer(text):
        if "@" in text[: found.start()] or "@" not in text[found.end() :]:
            return text[: found.start()], text[found.end() :]
    credentials, at, rest = text.rpartition("@")
    rest, _, query = rest.partition("?")
    return credentials + at + rest, query


def _host(text: str, port: int) -> tuple[str, int]:
    if text.startswith("["):
        name, _, own = text[1:].partition("]")
        return unquote(name), _port(own.removeprefix(":"), port)
    if text.count(":") > 1:  # a bare IPv6 address, as `host=::1` gives it
        return text, port
    name, _, own = text.partition(":")
    return unquote(name), _port(own, port)


def _port(text: str, default: int = PORT) -> int:
    if not text:
        return default
    if not text.isdecimal() or not 0 < int(text) < 65536:  # noqa: PLR2004  (the largest port and one)
        # It isn't shown: without a host, what stands there is the password.
        raise StartError("DATABASE_URL has an unusable port; give a number from 1 to 65535.")
    return int(text)
