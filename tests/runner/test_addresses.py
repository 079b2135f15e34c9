import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpcore2
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from agentsquad.schemas import limits
from backend.core.settings import Settings
from backend.runner import addresses
from backend.runner.addresses import client
from backend.runner.errors import AddressRefused, TooMuch
from backend.runner.networks import allowed, public
from tests.runner.standin import StandIn

LOCAL = "127.0.0.1"
CANARY = "canary-4f1d"


@pytest.fixture
async def served() -> AsyncIterator[StandIn]:
    async with StandIn() as served:
        yield served


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.0.1", "169.254.169.254", "172.31.0.1"),
        *("192.168.1.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
        *("239.1.1.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200"),
        *("::", "::1", "::7f00:1", "fe80::1", "fe80::1%1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
        *("2001:db8::1", "2001::1", "3fff::1", "5f00::1", "100::1", "64:ff9b:1::1", "4000::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
        *("2002:a00:1::1", "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:a00:1", "2001:0:a00:1::"),
    ],
)
def test_what_is_private_is_not_public_in_any_form(address: str) -> None:
    assert not public(ip_address(address))
    assert not allowed(ip_address(address), ())


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]
)
def test_what_is_public_is(address: str) -> None:
    assert public(ip_address(address))


@pytest.mark.parametrize(
    ("address", "networks", "expected"),
    [
        ("127.0.0.1", "127.0.0.0/8", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "10.0.0.0/8 ::/0", False),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1%3", "fd00::1", True),
        ("169.254.169.254", "0.0.0.0/0 169.254.0.0/16", False),
        ("169.254.169.254", "169.254.169.254", True),
        ("fd00:ec2::254", "fd00::/8", False),
    ],
)
def test_the_administrators_list_opens_what_it_names(address: str, networks: str, expected: bool) -> None:
    assert allowed(ip_address(address), [ip_network(each) for each in networks.split()]) is expected


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names be found, one answer after another; what was asked for is noted."""
    asked: list[str] = []
    left = list(answers)

    async def found(_: object, host: str, port: int, **__: Any) -> Any:
        asked.append(host)
        answer = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", found)
    return asked


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "0", "%31%32%37.1"],
)
async def test_nobody_reaches_this_machine_unless_allowed(served: StandIn, host: str) -> None:
    async with client(Settings()) as outside:
        with pytest.raises((AddressRefused, httpx2.ConnectError, httpx2.InvalidURL)) as refused:
            await outside.get(f"http://{host}:{served.port}/v1/models")
    if isinstance(refused.value, AddressRefused):
        assert refused.value.detail.endswith(
            f":{served.port} is in a private network; the administrator can allow it with SQUAD_PRIVATE_NETWORKS."
        )
    assert served.calls == []


async def test_an_allowed_network_is_reached(served: StandIn) -> None:
    async with client(Settings(SQUAD_PRIVATE_NETWORKS="127.0.0.0/8 ::1")) as outside:
        answer = await outside.post(f"http://localhost:{served.port}/v1/chat/completions", json={"model": "m"})
    assert answer.json()["choices"][0]["message"]["content"] == "Done."


async def test_of_a_names_addresses_only_those_are_tried_that_are_allowed(
    served: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    connect = httpcore2.AnyIOBackend.connect_tcp

    async def noted(self: Any, host: str, *more: Any) -> Any:
        tried.append(host)
        return await connect(self, host, *more)

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", noted)
    async with client(Settings(SQUAD_PRIVATE_NETWORKS=LOCAL)) as outside:
        names(monkeypatch, ["10.0.0.1", "::1", LOCAL, "169.254.169.254"])
        assert (await outside.post(f"http://several.example:{served.port}/", json={"model": "m"})).status_code == 200
        names(monkeypatch, ["10.0.0.1", "::1"])
        with pytest.raises(AddressRefused):
            await outside.get(f"http://others.example:{served.port}/")
    assert tried == [LOCAL]


async def test_a_name_is_resolved_once_and_connected_to_as_it_was_checked(
    served: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client(Settings(SQUAD_PRIVATE_NETWORKS=LOCAL)) as outside:
        asked = names(monkeypatch, [LOCAL], ["10.0.0.1"])
        assert (await outside.post(f"http://rebinding.example:{served.port}/", json={"model": "m"})).status_code == 200
        assert asked == ["rebinding.example"]
        with pytest.raises(AddressRefused):
            await outside.get(f"http://rebinding.example:{served.port}/")
    assert served.calls[0].headers["host"] == f"rebinding.example:{served.port}"


async def test_the_next_address_of_a_name_is_tried(served: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    async with client(Settings(SQUAD_PRIVATE_NETWORKS="127.0.0.0/8")) as outside:
        names(monkeypatch, ["127.0.0.9", LOCAL])
        assert (await outside.post(f"http://two.example:{served.port}/", json={"model": "m"})).status_code == 200


async def test_a_name_that_is_unknown_is_a_connection_error() -> None:
    async with client(Settings()) as outside:
        for host in ("no.such.name.invalid", "x" * 70 + ".invalid"):
            with pytest.raises((httpx2.ConnectError, httpx2.InvalidURL)):
                await outside.get(f"http://{host}/")


async def test_only_http_is_spoken() -> None:
    async with client(Settings()) as outside:
        with pytest.raises((AddressRefused, httpx2.UnsupportedProtocol)):
            await outside.get("ftp://example.com/")


async def test_redirects_are_not_followed_and_each_hop_would_be_checked(served: StandIn) -> None:
    async with client(Settings(SQUAD_PRIVATE_NETWORKS=LOCAL)) as outside:
        served.script.append({"redirect": "http://127.0.0.2/"})
        assert (await outside.get(served.url)).status_code == 307
        served.script.append({"redirect": f"http://127.0.0.2:{served.port}/"})
        with pytest.raises(AddressRefused):
            await outside.get(served.url, follow_redirects=True)


async def test_a_proxy_of_the_environment_is_not_asked(served: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{served.port}")
    async with client(Settings(SQUAD_PRIVATE_NETWORKS=LOCAL)) as outside:
        with pytest.raises(AddressRefused):
            await outside.get("http://10.0.0.1/")
    assert served.calls == []


async def test_a_key_goes_to_its_host_and_port_only(served: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = f"127.0.0.1:{served.port}={CANARY} 127.0.0.1=other localhost:{served.port}=third"
    async with client(Settings(SQUAD_PRIVATE_NETWORKS="127.0.0.0/8", SQUAD_KEYS=keys)) as outside:
        foreign = {
            "Authorization": "Bearer sk-env",
            "X-Api-Key": "sk-env",
            "OpenAI-Organization": "org",
            "Cookie": "a=b",
        }
        await outside.post(served.url, json={"model": "m"}, headers=foreign)
        names(monkeypatch, [LOCAL])
        await outside.post(f"http://other.example:{served.port}/", json={"model": "m"}, headers=foreign)
        served.script.append({"redirect": f"http://other.example:{served.port}/"})
        await outside.post(served.url, json={"model": "m"}, follow_redirects=True)
    sent = [call.headers.get("authorization") for call in served.calls]
    assert sent == [f"Bearer {CANARY}", None, f"Bearer {CANARY}", None]
    assert all("env" not in str(call.headers) and "org" not in str(call.headers) for call in served.calls)
    assert not any({"cookie", "x-api-key"} & call.headers.keys() for call in served.calls)


async def test_a_key_is_not_sent_in_public_without_encryption(served: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    async with client(
        Settings(SQUAD_PRIVATE_NETWORKS=LOCAL, SQUAD_KEYS=f"api.example=a api.example:81={CANARY}")
    ) as outside:
        names(monkeypatch, ["1.1.1.1"])
        for address in ("http://api.example/", "http://api.example:81/"):
            with pytest.raises(AddressRefused) as refused:
                await outside.get(address)
            assert refused.value.detail.endswith("isn't sent without encryption; write its address with https.")
            assert CANARY not in refused.value.detail


def certified(name: str, folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A certificate for a name, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(who, who, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file


async def test_a_certificate_is_checked_against_the_name_and_a_key_goes_over_https(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context, file = certified("api.example", tmp_path)
    monkeypatch.setattr(addresses, "authorities", httpx2.create_ssl_context)
    async with StandIn(tls=context) as served:
        settings = Settings(SQUAD_PRIVATE_NETWORKS=LOCAL, SQUAD_KEYS=f"api.example:{served.port}={CANARY}")
        address = f"https://api.example:{served.port}/"
        async with client(settings) as outside:
            names(monkeypatch, [LOCAL])
            with pytest.raises(httpx2.ConnectError):
                await outside.post(address, json={"model": "m"})
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        async with client(settings) as outside:
            with pytest.raises(httpx2.ConnectError):
                await outside.post(address.replace("api", "other"), json={"model": "m"})
            assert (await outside.post(address, json={"model": "m"})).status_code == 200
    assert [call.headers["authorization"] for call in served.calls] == [f"Bearer {CANARY}"]


async def test_certificates_are_read_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client(Settings()):
        pass
    monkeypatch.setattr(httpx2, "create_ssl_context", None)
    async with client(Settings()):
        pass


async def test_what_an_answer_sets_is_not_kept(served: StandIn) -> None:
    async with client(Settings(SQUAD_PRIVATE_NETWORKS=LOCAL)) as outside:
        outside.cookies.extract_cookies(
            httpx2.Response(200, headers={"Set-Cookie": "a=b"}, request=httpx2.Request("GET", served.url))
        )
        assert list(outside.cookies.jar) == []


async def test_packed_and_endless_answers_end(served: StandIn) -> None:
    async with client(Settings(SQUAD_PRIVATE_NETWORKS=LOCAL)) as outside:
        for answer, said in (({"packed": True}, "packs"), ({"endless": True}, str(limits.BODY))):
            served.script.append(answer)
            with pytest.raises(TooMuch) as refused:
                await outside.post(served.url, json={"model": "m"})
            assert said in refused.value.detail
        assert served.calls[0].headers["accept-encoding"] == "identity"


async def test_a_key_is_in_no_log_error_or_request_that_others_hold(
    served: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = f"127.0.0.1:{served.port}={CANARY}"
    async with client(Settings(SQUAD_PRIVATE_NETWORKS=LOCAL, SQUAD_KEYS=keys)) as outside:
        served.script.append({"status": 500})
        answer = await outside.post(served.url, json={"model": "m"})
        assert "authorization" not in answer.request.headers
        assert CANARY not in repr([vars(outside), answer, answer.request.headers])
    assert served.calls[0].headers["authorization"] == f"Bearer {CANARY}"
    assert CANARY not in caplog.text
