"""TLS handshakes with certificates that nobody trusts: they go on, and the connection is known for what it is.

SSL_CTX_set_verify(3), SSL_get_verify_result(3)
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apiserver.auth import handshake
from apiserver.auth.handshake import Handshakes
from deploy.certificates import Pair, Request, issue, new_authority
from tests.harness.pki import Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def tls(pki: Pki) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.file("apiserver.crt"), pki.file("apiserver.key"))
    context.load_verify_locations(pki.file("ca.crt"))
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def shaken(tls: ssl.SSLContext, pki: Pki, directory: Path, pair: Pair | None) -> ssl.SSLObject:
    """The server's side of a connection with a client that has that certificate. SSLError when there is none."""
    client_tls = ssl.create_default_context(cafile=pki.file("ca.crt"))
    if pair is not None:
        both = directory / "client.pem"
        both.write_bytes(pair.certificate + pair.key)
        client_tls.load_cert_chain(both)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server, client = (
        tls.wrap_bio(there, back, server_side=True),
        client_tls.wrap_bio(back, there, server_hostname="localhost"),
    )
    open_ends = [client, server]
    while open_ends:
        for end in list(open_ends):
            try:
                end.do_handshake()
                open_ends.remove(end)
            except ssl.SSLWantReadError:
                continue
    return server


def certificates(pki: Pki) -> dict[str, Pair]:
    now = datetime.now(UTC)
    asked = Request("jane", client=True)
    return {
        "good": issue(pki.pair("ca"), asked, now),
        "stranger's": issue(new_authority("sampan-ca", now), asked, now),
        "expired": issue(pki.pair("ca"), asked, now - timedelta(days=400)),
    }


def test_a_handshake_goes_on_and_is_judged(tls: ssl.SSLContext, pki: Pki, tmp_path: Path) -> None:
    handshakes = Handshakes(tls)
    assert handshakes.go_on
    for name, pair in certificates(pki).items():
        connection = shaken(tls, pki, tmp_path, pair)
        assert connection.getpeercert(binary_form=True)
        assert handshakes.is_verified(connection) is (name == "good"), name
    assert not shaken(tls, pki, tmp_path, None).getpeercert()


def test_a_connection_of_another_server_is_none_of_ours(tls: ssl.SSLContext, pki: Pki, tmp_path: Path) -> None:
    """What cannot be read for certain is not good."""
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.load_cert_chain(pki.file("apiserver.crt"), pki.file("apiserver.key"))
    connection = shaken(other, pki, tmp_path, None)
    assert not Handshakes(tls).is_verified(connection)


@pytest.mark.parametrize("lacks", ["library", "mode"])
def test_without_the_means_handshakes_are_refused(
    tls: ssl.SSLContext, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    if lacks == "library":
        monkeypatch.setattr(handshake, "_openssl", lambda: None)
    else:
        tls.verify_mode = ssl.CERT_REQUIRED
    assert not Handshakes(tls).go_on
    with pytest.raises(ssl.SSLError):
        shaken(tls, pki, tmp_path, certificates(pki)["stranger's"])
