import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from backend.core.database import Database
from backend.core.errors import Overloaded, StartError
from backend.core.settings import Settings
from backend.core.urls import CONNECT_TIMEOUT, Address
from tests.wire import relayed

SECRET = "s3cret"


def both(url: str) -> tuple[URL, URL]:
    address = Address.parse(url)
    return address.for_async(), address.for_sync()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg2"])
def test_each_driver_gets_its_own_scheme(scheme: str) -> None:
    for_async, for_sync = both(f" {scheme}://ada:pw@db.example:6432/board\n")
    assert for_async.drivername == "postgresql+asyncpg"
    assert for_sync.drivername == "postgresql+psycopg2"
    for url in (for_async, for_sync):
        assert (url.username, url.password, url.host, url.port, url.database) == (
            "ada", "pw", "db.example", 6432, "board",
        )  # fmt: skip


@pytest.mark.parametrize("password", ["p@ss", "a:b", "a/b?c#d", "100%", "ü ñ", "a&b=c", "p?sslmodel@x", "[::1]", "+"])
def test_a_password_may_hold_anything(password: str) -> None:
    encoded = URL.create("postgresql", "ada", password, "h", database="board").render_as_string(hide_password=False)
    for url in (
        encoded,
        f"postgresql://ada:{password}@h/board",
        f"postgresql://ada:{password}@h/board?sslmode=require",
    ):
        address = Address.parse(url)
        assert (address.user, address.password, address.hosts, address.database) == (
            "ada", password, (("h", 5432),), "board",
        )  # fmt: skip


def test_a_parameter_may_hold_an_at_sign() -> None:
    address = Address.parse("postgresql://ada:p@ss@h/board?application_name=a@b+c&passfile=/home/x@y/pass")
    assert (address.password, address.hosts) == ("p@ss", (("h", 5432),))
    assert address.options["application_name"] == "a@b+c"
    assert address.for_async().query["passfile"] == "/home/x@y/pass"


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://h", (("h", 5432),)),
        ("postgresql://[::1]:6000/board", (("::1", 6000),)),
        ("postgresql://[::1]/board", (("::1", 5432),)),
        ("postgresql://a:1,b:2,[::1]:3/board", (("a", 1), ("b", 2), ("::1", 3))),
        ("postgresql://a,b/board", (("a", 5432), ("b", 5432))),
        ("postgresql:///board?host=a,b&port=1,2", (("a", 1), ("b", 2))),
        ("postgresql:///board?host=a,b&port=7", (("a", 7), ("b", 7))),
        ("postgresql:///board?host=::1&port=7", (("::1", 7),)),
        ("postgresql:///board?host=/run/pg", (("/run/pg", 5432),)),
        ("postgresql://%2Frun%2Fpg/board", (("/run/pg", 5432),)),
        ("postgresql://ada@%2Frun%2Fpg:6000/board", (("/run/pg", 6000),)),
        ("postgresql:///board?port=6000", (("", 6000),)),
    ],
)
def test_hosts(url: str, hosts: tuple[tuple[str, int], ...]) -> None:
    address = Address.parse(url)
    assert address.hosts == hosts
    for made in (address.for_async(), address.for_sync()):
        again = Address.parse(made.render_as_string(hide_password=False).replace("dsn=", "application_name="))
        assert again.hosts == hosts


def test_a_user_without_a_host_may_come_as_parameters() -> None:
    address = Address.parse("postgresql:///?host=/run/pg&user=ada&password=p%40ss&dbname=board")
    assert (address.user, address.password, address.database) == ("ada", "p@ss", "board")


def test_tls_parameters_reach_both_drivers() -> None:
    for_async, for_sync = both(
        "postgresql://h/board?sslmode=verify-full&sslrootcert=/etc/ca.pem&channel_binding=require"
    )
    assert for_async.query == {"ssl": "verify-full", "dsn": "postgresql://?sslrootcert=%2Fetc%2Fca.pem"}
    assert for_sync.query == {
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ca.pem",
        "channel_binding": "require",
        "connect_timeout": CONNECT_TIMEOUT,
    }


def test_a_connection_is_given_up_after_a_while_unless_the_address_says_never() -> None:
    assert Address.parse("postgresql://h/b").connect_timeout == float(CONNECT_TIMEOUT)
    assert Address.parse("postgresql://h/b?connect_timeout=3").connect_timeout == 3
    assert Address.parse("postgresql://h/b?connect_timeout=0").connect_timeout is None


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://ada:{SECRET}@h/board",
        f"sqlite:///{SECRET}.db",
        f"jdbc:postgresql://ada:{SECRET}@h/board",
        SECRET,
        f"postgresql://ada:{SECRET}",
        f"postgresql://ada:{SECRET}@h:0/board",
        f"postgresql://ada:{SECRET}@h:65536/board",
        f"postgresql://ada:{SECRET}@h:x/board",
        f"postgresql://ada:{SECRET}@h/board?colour=red",
        f"postgresql://ada:{SECRET}@h/board?connect_timeout=soon",
    ],
)
def test_what_is_no_address_is_one_sentence_that_tells_no_secret(url: str) -> None:
    with pytest.raises(StartError) as refused:
        Address.parse(url)
    assert refused.value.detail.startswith("DATABASE_URL ")
    assert refused.value.detail.endswith(".")
    assert SECRET not in refused.value.detail


async def connects(url: str) -> None:
    """Both drivers, and an engine that is derived from the asynchronous one's address."""
    database = Database(Settings(DATABASE_URL=url))
    asked = text("SELECT current_database()")
    async with database.async_engine.connect() as connection:
        name = await connection.scalar(asked)
    derived = create_async_engine(database.async_engine.url, poolclass=NullPool)
    async with derived.connect() as connection:
        assert await connection.scalar(asked) == name

    def ask() -> str:
        with database.sync_engine.connect() as connection:
            return str(connection.scalar(asked))

    assert await asyncio.to_thread(ask) == name == database.address.database
    await database.close()


def forms(url: str) -> dict[str, Callable[[str, int], str]]:
    """The same server, as people write it; each takes the host and the port of a relay."""
    address = Address.parse(url)
    who = f"{address.user}:{address.password}" if address.password else f"{address.user}"
    key = f"passfile={address.options['passfile']}" if "passfile" in address.options else ""
    name = address.database
    return {
        "plain": lambda host, port: f"postgresql://{who}@{host}:{port}/{name}?{key}",
        "heroku": lambda host, port: f"postgres://{who}@{host}:{port}/{name}?sslmode=prefer&{key}",
        "hosted": lambda host, port: f"postgresql://{who}@{host}:{port}/{name}?channel_binding=prefer&{key}",
        "driver": lambda host, port: f"postgresql+asyncpg://{who}@{host}:{port}/{name}?ssl=disable&{key}",
        "hosts": lambda host, port: f"postgresql://{who}@127.0.0.1:1,{host}:{port}/{name}?{key}",
        "named": lambda host, port: (
            f"postgresql:///{name}?host={host}&port={port}&user={address.user}"
            f"{f'&password={address.password}' if address.password else ''}&{key}"
        ),
        "settings": lambda host, port: (
            f"postgresql://{who}@{host}:{port}/{name}?application_name=a+b%26c"
            f"&options=-c%20work_mem%3D8MB&connect_timeout=5&{key}"
        ),
    }


@pytest.mark.parametrize("form", ["plain", "heroku", "hosted", "driver", "hosts", "named", "settings"])
async def test_both_drivers_connect(shared_url: str, form: str) -> None:
    async with relayed(shared_url) as relay:
        await connects(forms(shared_url)[form](relay.host, relay.port))


async def test_both_drivers_connect_by_ipv6(shared_url: str) -> None:
    try:
        async with relayed(shared_url, host="::1") as relay:
            await connects(forms(shared_url)["plain"]("[::1]", relay.port))
            await connects(forms(shared_url)["hosts"]("[::1]", relay.port))
            await connects(forms(shared_url)["named"]("::1", relay.port))
    except OSError:
        pytest.skip("this machine has no IPv6")


async def test_both_drivers_connect_by_a_percent_encoded_socket(shared_url: str) -> None:
    address = Address.parse(shared_url)
    host, port = address.hosts[0]
    if not host.startswith("/"):
        pytest.skip("the server of this run listens on TCP")
    await connects(forms(shared_url)["plain"](host.replace("/", "%2F"), port))


async def test_settings_in_the_address_hold_and_win(shared_url: str) -> None:
    async with relayed(shared_url) as relay:
        url = forms(shared_url)["settings"](relay.host, relay.port).replace("work_mem%3D8MB", "lock_timeout%3D7s")
        database = Database(Settings(DATABASE_URL=url))
        asked = text("SELECT current_setting('lock_timeout'), current_setting('TimeZone')")
        async with database.async_engine.connect() as connection:
            assert tuple((await connection.execute(asked)).one()) == ("7s", "UTC")
            assert await connection.scalar(text("SHOW application_name")) == "a+b&c"
        await database.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`server.pem` and its `server.key` for localhost, and `other.pem`, which signed neither."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "other"):
        command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost"]
        command += ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run(command, check=True, capture_output=True)
    return folder


async def test_both_drivers_check_the_certificate_that_the_address_names(shared_url: str, certificates: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    async with relayed(shared_url, tls, "127.0.0.1") as relay:
        relay.host = "localhost"
        await connects(relay.url(sslmode="verify-full", sslrootcert=str(certificates / "server.pem")))
        wrong = Database(
            Settings(DATABASE_URL=relay.url(sslmode="verify-full", sslrootcert=str(certificates / "other.pem")))
        )
        with pytest.raises(Overloaded):
            await wrong.transact(lambda session: session.execute(text("SELECT 1")))
        with pytest.raises(StartError, match="certificate"):
            await wrong.open()
        await wrong.close()
