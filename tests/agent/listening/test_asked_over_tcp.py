"""Loopback, tokens and files for TLS: what is let in, and what is refused in words."""

import base64
import subprocess
import time
from pathlib import Path

import pytest
from certificates import HAVE_OPENSSL, Authority, Pair

from tidegate.config import Listen
from tidegate.listening.bearer import shows
from tidegate.listening.loopback import is_loopback
from tidegate.listening.server_tls import TlsError, read_server_tls
from tidegate.listening.token_file import TokenError, read_token
from tidegate.supervisor.endpoint_access import certificate_trouble, exposure

TOKEN = "0123456789abcdef"
DAY_S = 86400


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost"])
def test_an_address_of_this_machine_alone(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "::ffff:10.0.0.1", "192.168.1.7", "fe80::1%eth0", "gate.lan"]
)
def test_an_address_that_others_reach(address: str) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize("token", ["", "short", "sixteen characters", "ünicode-0123456789", "a\nb0123456789abcde"])
def test_a_token_that_can_not_be_sent_or_is_guessed_is_refused(token: str, tmp_path: Path) -> None:
    file = tmp_path / "web.token"
    file.write_text(token, encoding="utf-8")
    with pytest.raises(TokenError, match=r"web\.token: no token that can be sent and not be guessed"):
        read_token(file)


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'anybody:{password}'.encode()).decode()}"


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", basic(TOKEN)])
def test_the_token_is_shown(shown: str) -> None:
    assert shows(TOKEN, shown)


@pytest.mark.parametrize(
    "shown",
    [
        "",
        TOKEN,
        "Bearer",
        f"Bearer {TOKEN}0",
        f"Bearer {TOKEN[:-1]}",
        f"Digest {TOKEN}",
        basic("x"),
        "Basic %",
        "Basic /w==",
        "Bearer \xe4\xff",
    ],
)
def test_another_one_is_not(shown: str) -> None:
    assert not shows(TOKEN, shown)


def listen(**settings: object) -> Listen:
    return Listen.model_construct(**{"tcp": 0, "address": "0.0.0.0", **settings})


def test_what_others_could_do_is_told() -> None:
    assert exposure(listen(address="127.0.0.1")) == ""
    assert exposure(listen(tcp=None)) == ""
    assert "whoever reaches 0.0.0.0 may ask" in exposure(listen(unauthenticated=True))
    assert "in the clear" in exposure(listen(token_file=Path("token")))
    assert exposure(listen(token_file=Path("token"), tls=object())) == ""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if not HAVE_OPENSSL:
        pytest.skip("needs openssl")
    return Authority(tmp_path_factory.mktemp("signed") / "authority")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    return authority.signed("server")


def test_a_certificate_says_when_it_ends(authority: Authority, server: Pair) -> None:
    tls = read_server_tls(server.certificate, server.key, authority.certificate)
    assert tls.key not in repr(tls)
    now = time.time()
    soon = certificate_trouble(tls, now)
    assert soon is not None
    assert not soon.is_refused
    assert "expires on" in soon.said
    later = certificate_trouble(tls, now + 3 * DAY_S)
    assert later is not None
    assert later.is_refused
    assert "expired on" in later.said
    earlier = certificate_trouble(tls, now - DAY_S)
    assert earlier is not None
    assert "set the clock" in earlier.way_out
    assert certificate_trouble(tls, now - 0.5 * DAY_S) is not None
    lasting = authority.signed("lasting", days=90)
    just_signed = read_server_tls(lasting.certificate, lasting.key, None)
    assert certificate_trouble(just_signed, time.time()) is None
    assert certificate_trouble(None, now) is None


def test_an_expired_certificate_is_read_and_told(authority: Authority) -> None:
    expired = authority.signed("expired", days=-1)
    found = certificate_trouble(read_server_tls(expired.certificate, expired.key, None), time.time())
    assert found is not None
    assert found.is_refused


def test_files_that_make_no_tls_are_refused_with_the_way_out(
    authority: Authority, server: Pair, tmp_path: Path
) -> None:
    other = authority.signed("other")
    of_clients = authority.signed("of_clients", purpose="clientAuth")
    encrypted, der, empty = tmp_path / "encrypted.key", tmp_path / "der.pem", tmp_path / "empty.pem"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", server.key, "-out", encrypted, "-passout", "pass:secret"], check=True
    )
    subprocess.run(["openssl", "x509", "-in", server.certificate, "-outform", "DER", "-out", der], check=True)
    empty.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for certificate, key, client_ca, said in (
        (server.certificate, other.key, None, rf"{other.key}: not the key of {server.certificate}"),
        (server.certificate, encrypted, None, r"the key is encrypted, .*openssl pkey"),
        (der, server.key, None, r"nothing in PEM that begins -----BEGIN CERTIFICATE-----"),
        (server.certificate, server.certificate, None, r"nothing in PEM that begins -----BEGIN PRIVATE KEY-----"),
        (tmp_path / "none.pem", server.key, None, r"none\.pem: No such file or directory; expected"),
        (tmp_path, server.key, None, r"Is a directory"),
        (empty, server.key, None, r"empty\.pem, .*no TLS can be served"),
        (server.certificate, server.key, empty, r"no TLS can be served with them"),
        (of_clients.certificate, of_clients.key, None, r"clients would refuse it: unsu"),
    ):
        with pytest.raises(TlsError, match=said):
            read_server_tls(certificate, key, client_ca)
