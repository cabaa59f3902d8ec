"""TLS to clients: which certificate, which protocols, and how soon a new one is in force."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Iterator
from typing import Final

import pytest

from tests.certificates import Authority, dns, replace
from tests.e2e.clients import Client
from tests.e2e.credentials import FREE
from tests.e2e.harness import FENCE, HEAD, RunningGateway, eventually
from tests.e2e.secure_clients import SecureClient, ask_http2, trusting
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

AUTHORITY: Final = Authority()
REJECTED: Final = "sds.listener.secure.certificate.1.key_rotation_failed"
RELOADED: Final = 10.0  # seconds: what is promised
GATEWAY: Final = (
    HEAD.replace(
        "listeners: [",
        """listeners: [
  {name: secure, address: "${SECURE}", tls: {certificates: [
    {certificate: tls/first.crt, key: tls/first.key}, {certificate: tls/second.crt, key: tls/second.key}]}},
  {name: mounted, address: "${MOUNTED}", tls: {certificate: mounted/tls.crt, key: mounted/tls.key}},
  """,
    )
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
defaults: {authenticate: partners, limits: []}
routes:
  - {name: main, match: {path: /}, upstream: main}
  - """
    + FENCE
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        yield only


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[RunningGateway]:
    made = RunningGateway(GATEWAY, [upstream], ["SECURE", "MOUNTED"])
    (made.folder / "tls").mkdir()
    AUTHORITY.issue(dns("first.test")).write(made.folder / "tls", "first")
    AUTHORITY.issue(dns("second.test"), dns("*.second.test")).write(made.folder / "tls", "second")
    mount(made, "one")
    with made as running:
        yield running


def mount(gateway: RunningGateway, version: str) -> None:
    """A secret as Kubernetes mounts it: links to a link, which is replaced as a whole."""
    folder = gateway.folder / "mounted"
    (folder / version).mkdir(parents=True)
    AUTHORITY.issue(dns("mounted.test")).write(folder / version, "tls")
    (folder / "..new").symlink_to(version)
    (folder / "..new").replace(folder / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


def client(gateway: RunningGateway, host: str = "first.test", listener: str = "SECURE") -> SecureClient:
    return SecureClient(gateway.ports[listener], trusting(AUTHORITY), host)


def test_a_request_over_tls_is_judged_and_served(gateway: RunningGateway, upstream: Upstream) -> None:
    upstream.clear()
    assert client(gateway).get("/").status == 401
    reply = client(gateway).get("/", FREE)
    assert reply.status == 200
    assert upstream.only().header("x-forwarded-proto") == "https"
    assert gateway.decision(reply.id)["consumer"] == "free-caller"


def test_http_2_is_agreed_on_in_the_handshake_and_served(gateway: RunningGateway, upstream: Upstream) -> None:
    upstream.clear()
    secure = client(gateway)
    secure.context.set_alpn_protocols(["h2", "http/1.1"])
    with secure.connected() as connection:
        assert connection.selected_alpn_protocol() == "h2"
        ask_http2(connection, "/", FREE)
    id_ = upstream.only().header("x-request-id")
    logged = eventually(lambda: [one for one in gateway.access_log() if one["request_id"] == id_], "an access log line")
    assert (logged[0]["protocol"], logged[0]["status"], logged[0]["consumer"]) == ("HTTP/2", 200, "free-caller")


def test_a_client_of_http_1_gets_http_1(gateway: RunningGateway) -> None:
    secure = client(gateway)
    secure.context.set_alpn_protocols(["http/1.1"])
    with secure.connected() as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_the_host_that_is_asked_for_chooses_the_certificate(gateway: RunningGateway) -> None:
    first = client(gateway).served()
    second = client(gateway, "second.test").served()
    assert first != second
    assert client(gateway, "deep.second.test").served() == second
    stranger = client(gateway, "stranger.test")
    stranger.context.check_hostname = False
    assert stranger.served() == first


def test_plain_http_is_not_spoken_to_a_port_of_tls(gateway: RunningGateway, upstream: Upstream) -> None:
    upstream.clear()
    with gateway.watched() as decisions, socket.create_connection(("127.0.0.1", gateway.ports["SECURE"]), 10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nhost: first.test\r\n\r\n")
        answer = plain.recv(1024)
    assert not answer.startswith(b"HTTP/")
    assert decisions == []
    assert upstream.received == []


@pytest.mark.parametrize(("version", "accepted"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
def test_versions_before_tls_1_2_are_refused(gateway: RunningGateway, version: str, accepted: bool) -> None:
    secure = client(gateway)
    secure.context.set_ciphers("ALL:@SECLEVEL=0")  # OpenSSL itself would not offer the old ones
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        secure.context.minimum_version = secure.context.maximum_version = ssl.TLSVersion[version]
    if accepted:
        assert secure.served()
        return
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        secure.served()


def test_a_new_certificate_is_in_force_within_ten_seconds_of_its_rename(gateway: RunningGateway) -> None:
    """The key comes after the certificate: until both fit, the old pair serves."""
    before, other = client(gateway).served(), client(gateway, "second.test").served()
    renewed = AUTHORITY.issue(dns("first.test"))
    replace(gateway.folder / "tls" / "first.crt", renewed.pem)
    assert client(gateway).served() == before
    replace(gateway.folder / "tls" / "first.key", renewed.key_pem)
    serial = renewed.certificate.serial_number
    eventually(lambda: int(client(gateway).served(), 16) == serial, "the new certificate", RELOADED)
    assert client(gateway).get("/", FREE).status == 200
    assert client(gateway, "second.test").served() == other


def test_a_mounted_secret_is_followed_when_its_folder_is_replaced(gateway: RunningGateway) -> None:
    mounted = client(gateway, "mounted.test", "MOUNTED")
    before = mounted.served()
    mount(gateway, "two")
    eventually(lambda: mounted.served() != before, "the certificate of the new folder", RELOADED)


def test_a_certificate_that_does_not_parse_leaves_the_old_one_in_force(gateway: RunningGateway) -> None:
    before = client(gateway, "second.test").served()
    held = (gateway.folder / "tls" / "second.crt").read_bytes()
    rejected = gateway.stat(REJECTED)
    replace(gateway.folder / "tls" / "second.crt", b"no certificate")
    eventually(lambda: gateway.stat(REJECTED) > rejected or None, "Envoy has seen the file", RELOADED)
    assert client(gateway, "second.test").served() == before
    replace(gateway.folder / "tls" / "second.crt", held)


def test_the_gateway_is_announced_by_its_scheme(gateway: RunningGateway) -> None:
    assert f"https://127.0.0.1:{gateway.ports['SECURE']}" in gateway.output()


def test_the_plain_listener_stays_plain(gateway: RunningGateway) -> None:
    assert Client(gateway.ports["GATEWAY_ADDRESS"]).get("/", FREE).status == 200
