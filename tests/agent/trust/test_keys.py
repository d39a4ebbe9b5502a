"""Keys and signatures: known answers of RFC 8032 and RFC 8410, and openssl's opinion of our files."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.trust.key_file import KeyFileError, read_private, read_public, write_pair
from tidegate.trust.keys import KeyFormatError, PrivateKey, PublicKey, parse_private, parse_public

keys = st.binary(min_size=32, max_size=32).map(PrivateKey)

# RFC 8032, section 7.1: secret key, public key, message, signature.
RFC_8032 = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595b"
            "be24655141438e7a100b"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716e"
            "d28dc027beceea1ec40a"
        ),
    ),
)


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_the_known_answers_of_rfc_8032(secret: str, public: str, message: str, signature: str) -> None:
    key = PrivateKey(bytes.fromhex(secret))
    assert key.public.raw.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert key.public.verifies(bytes.fromhex(message), bytes.fromhex(signature))


def test_the_known_public_key_of_rfc_8410() -> None:
    """Section 10.1 and 10.3: the same key pair, as PEM."""
    private = parse_private(
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
        "-----END PRIVATE KEY-----\n"
    )
    line = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
    assert private.public.text == line
    assert parse_public(line) == parse_public(f"-----BEGIN PUBLIC KEY-----\n{line}\n-----END PUBLIC KEY-----\n")


@given(keys, st.binary(max_size=200))
def test_a_signature_is_one_keys_of_one_message(key: PrivateKey, message: bytes) -> None:
    signature = key.sign(message)
    assert key.public.verifies(message, signature)
    assert not key.public.verifies(message + b"\0", signature)
    assert not PrivateKey(bytes(32 * [7])).public.verifies(message, signature) or key.seed == bytes(32 * [7])
    assert not key.public.verifies(message, signature[:-1])
    assert not key.public.verifies(message, signature + b"\0")


@given(keys)
def test_what_is_written_is_read(key: PrivateKey) -> None:
    assert parse_private(key.pem) == key
    assert parse_public(key.public.pem) == parse_public(key.public.text) == key.public
    assert key.seed.hex() not in repr(key)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_gives_one_kind_of_error(text: str) -> None:
    with pytest.raises(KeyFormatError):
        parse_public(text)
    with pytest.raises(KeyFormatError):
        parse_private(text)


def test_a_private_key_is_not_taken_for_a_public_one_and_not_shown() -> None:
    key = PrivateKey.new()
    with pytest.raises(KeyFormatError, match="found a private key") as caught:
        parse_public(key.pem)
    assert key.pem.splitlines()[1] not in str(caught.value)


def test_small_keys_that_would_verify_anything_verify_nothing() -> None:
    """The neutral element as a key, and a signature of zeros: valid for every message without the check for it."""
    neutral = PublicKey((1).to_bytes(32, "little"))
    assert not neutral.verifies(b"any", neutral.raw + bytes(32))


def test_files_of_a_new_key(tmp_path: Path) -> None:
    key = PrivateKey.new()
    public_file = write_pair(tmp_path / "alice.key", key)
    assert (tmp_path / "alice.key").stat().st_mode & 0o777 == 0o600
    assert public_file == tmp_path / "alice.pub"
    assert read_private(tmp_path / "alice.key") == key
    assert read_public(public_file) == read_public(tmp_path / "alice.key") == key.public
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_pair(tmp_path / "alice.key", PrivateKey.new())
    assert read_private(tmp_path / "alice.key") == key


def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path / "alice.key", PrivateKey.new())
    (tmp_path / "alice.key").chmod(0o640)
    with pytest.raises(KeyFileError, match=r"found mode 0640, allowed is 0600; chmod 600"):
        read_private(tmp_path / "alice.key")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_reads_our_keys_and_we_read_its(tmp_path: Path) -> None:
    ours = PrivateKey.new()
    write_pair(tmp_path / "ours.key", ours)
    shown = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "ours.key", "-pubout"], check=True, capture_output=True, text=True
    )
    assert shown.stdout == ours.public.pem
    theirs = tmp_path / "theirs.key"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", theirs], check=True, capture_output=True
    )
    (tmp_path / "message").write_bytes(b"x")
    command = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", theirs, "-in", tmp_path / "message"]
    signature = subprocess.run(command, check=True, capture_output=True).stdout
    theirs.chmod(0o600)
    assert read_private(theirs).sign(b"x") == signature
