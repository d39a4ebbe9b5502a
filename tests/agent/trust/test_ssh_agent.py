"""Keys in a real SSH agent: what they sign, and what is said where there is none, or it refuses."""

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from here import tidegate_here

from tidegate.telemetry.payloads.envelope import Target, seal
from tidegate.trust.key_file import read_public
from tidegate.trust.keys import KeyFormatError, PrivateKey, parse_public
from tidegate.trust.openssh import blob_of, fingerprint, string
from tidegate.trust.ssh_agent import SOCKET, SshAgentError, SshAgentKeyError, agent_key
from tidegate.trust.trusted_keys import Role, Signed, TrustedKey, TrustedKeys


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with keys of three kinds, all of them in an agent of their own, whose socket is `agent`."""
    if any(shutil.which(program) is None for program in ("ssh-agent", "ssh-add", "ssh-keygen")):
        reason = "needs OpenSSH's ssh-agent, ssh-add and ssh-keygen"
        if os.environ.get("CI") == "true" and sys.platform == "linux":
            pytest.fail(reason)
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("ssh")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(directory / "agent")], stdout=subprocess.DEVNULL)
    try:
        for name, kind, comment in (
            ("ops", "ed25519", "ops@desk"),
            ("old", "ecdsa", "old@desk"),
            ("one", "ed25519", "twice"),
            ("two", "ed25519", "twice"),
        ):
            file = str(directory / name)
            subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", file], check=True)
            add(directory, file)
        yield directory
    finally:
        agent.terminate()
        agent.wait()


def add(directory: Path, *arguments: str, **more: str) -> None:
    environment = {**os.environ, SOCKET: str(directory / "agent"), **more}
    command = ["ssh-add", "-q", *arguments]
    for _ in range(50):
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        if done.returncode == 0:
            return
        if b"connect" not in done.stderr.lower():
            break
    raise AssertionError(done.stderr)


def here(directory: Path) -> dict[str, str]:
    return {SOCKET: str(directory / "agent")}


def shown_by_ssh(directory: Path, name: str) -> str:
    return subprocess.run(
        ["ssh-keygen", "-l", "-f", str(directory / f"{name}.pub")], capture_output=True, text=True, check=True
    ).stdout.split()[1]


@pytest.mark.parametrize("by", ["comment", "fingerprint"])
def test_what_an_agent_signs_is_what_devices_verify(lent: Path, by: str) -> None:
    named = "ops@desk" if by == "comment" else shown_by_ssh(lent, "ops")
    key = agent_key(named, here(lent))
    assert key.public == read_public(lent / "ops.pub")
    envelope = seal("a: b", 3, Target("fleet"), keys=[key, PrivateKey(bytes(32))])
    trusted = TrustedKeys((TrustedKey("ops", read_public(lent / "ops.pub"), frozenset({Role.POLICY})),))
    assert trusted.judge(envelope, Role.POLICY) == Signed(("ops",))
    assert key.sign(b"x" * 200_000) == key.sign(b"x" * 200_000), "Ed25519 signs alike, and long ones too"


def test_a_key_that_is_not_there_or_of_another_kind_is_named(lent: Path) -> None:
    for named, words in (
        ("nobody", r"holds no such key; it holds: SHA256:\S+ ops@desk \(ssh-ed25519\); "),
        ("", "holds no such key"),
        ("old@desk", r"old@desk \(ecdsa-sha2-nistp256\); allowed is .*ssh-keygen -t ed25519"),
        ("twice", "several keys have this comment; name one by fingerprint: SHA256:.*; SHA256:"),
    ):
        with pytest.raises(SshAgentKeyError, match=words):
            agent_key(named, here(lent))
    assert agent_key(shown_by_ssh(lent, "two"), here(lent)).public == read_public(lent / "two.pub")


def test_no_agent_is_an_error_in_words(lent: Path, tmp_path: Path) -> None:
    with pytest.raises(SshAgentError, match=r"SSH_AUTH_SOCK is not set; eval \$\(ssh-agent\)"):
        agent_key("ops@desk", {})
    with pytest.raises(SshAgentError, match="No such file or directory; check SSH_AUTH_SOCK"):
        agent_key("ops@desk", {SOCKET: str(tmp_path / "nowhere")})
    with pytest.raises(SshAgentError, match="does not answer"):
        agent_key("ops@desk", {SOCKET: str(tmp_path / ("x" * 200))})


def test_a_key_that_is_taken_out_or_asks_in_vain_is_refused(lent: Path, tmp_path: Path) -> None:
    key = agent_key("ops@desk", here(lent))
    add(lent, "-d", str(lent / "ops"))
    with pytest.raises(SshAgentError, match=r"refused to sign with SHA256:.* the key was taken out"):
        key.sign(b"x")
    # Each use has to be confirmed, and the program that asks says no.
    add(lent, "-c", str(lent / "ops"))
    with pytest.raises(SshAgentError, match="the use was not confirmed"):
        agent_key("ops@desk", here(lent)).sign(b"x")
    add(lent, str(lent / "ops"))


def says(directory: Path, answer: bytes) -> dict[str, str]:
    """Something that listens where an agent should, and answers the first question so."""
    path = directory / "other"
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def answer_once() -> None:
        connection, _ = listening.accept()
        with connection, listening:
            connection.recv(1000)
            connection.sendall(answer)

    threading.Thread(target=answer_once, daemon=True).start()
    return {SOCKET: str(path)}


def listed(*keys: tuple[bytes, bytes], count: int | None = None) -> bytes:
    body = b"".join(string(blob) + string(comment) for blob, comment in keys)
    return string(b"\x0c" + struct.pack(">I", len(keys) if count is None else count) + body)


OPS = blob_of(PrivateKey(bytes(32)).public.raw)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"", SshAgentError, "hung up"),
        (b"HTTP/1.1 400", SshAgentError, "is no SSH agent"),
        (string(b"\x05"), SshAgentError, "is it locked"),
        (string(b"\x0c"), SshAgentKeyError, "none, or it is locked"),
        (listed((OPS, b"x"), count=2), SshAgentError, "cut short"),
        (listed((OPS, b"x"), count=2**32 - 1), SshAgentError, "cut short"),
        (listed((OPS[:-1], b"ops")), SshAgentKeyError, r"\(ssh-ed25519\); allowed is"),
        (listed((b"\x00", b"ops")), SshAgentKeyError, r"\(\); allowed is"),
        (listed((OPS, b"\x1b[2J\xff")), SshAgentKeyError, r"\\x1b\[2J\\ufffd"),
    ],
)
def test_an_agent_that_is_none_or_broken_is_an_error_in_words(
    tmp_path: Path, answer: bytes, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        agent_key("ops", says(tmp_path, answer))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (string(b"\x05"), "refused to sign"),
        (string(b"\x0e"), "cut short"),
        (string(b"\x0e" + string(string(b"ssh-rsa") + string(b"s" * 64))), "signed as b'ssh-rsa'"),
        (string(b"\x0e" + string(string(b"ssh-ed25519") + string(b"s" * 63))), "signed as"),
        (string(b"\x0e" + string(string(b"ssh-ed25519") + string(b"s" * 64))), "is not that of"),
    ],
)
def test_a_signature_that_does_not_hold_goes_into_no_envelope(tmp_path: Path, answer: bytes, words: str) -> None:
    key = agent_key("ops", says(tmp_path, listed((OPS, b"ops"))))
    says(tmp_path, answer)
    with pytest.raises(SshAgentError, match=words):
        key.sign(b"x")


def test_public_keys_are_read_as_openssh_writes_them(lent: Path) -> None:
    line = (lent / "ops.pub").read_text()
    assert parse_public(line) == parse_public(line.split()[0] + " " + line.split()[1])
    assert fingerprint(blob_of(parse_public(line).raw)) == shown_by_ssh(lent, "ops")
    for wrong in ("ssh-ed25519", "ssh-ed25519 AAAA", (lent / "old.pub").read_text(), line[:-30]):
        with pytest.raises(KeyFormatError, match="ssh-keygen"):
            parse_public(wrong)


@pytest.fixture
def desk(lent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SOCKET, str(lent / "agent"))
    (tmp_path / "p.yaml").write_text("tidegate: 1\nname: p\nversion: 2\nmax_accuracy_loss: 5 %\n")

    def run(*arguments: str | Path, code: int = 0) -> str:
        done = tidegate_here(*arguments)
        assert done.returncode == code, done
        return done.stdout + done.stderr

    return run


def test_commands_sign_with_an_agents_key(desk: Callable[..., str], lent: Path) -> None:
    said = desk("key", "show", "agent:twice", code=65)
    assert "several keys" in said
    shown = desk("key", "show", "agent:ops@desk")
    assert re.search(r"keyid ([0-9a-f]{64})", shown)
    assert read_public(lent / "ops.pub").text in shown
    assert desk("key", "show", lent / "ops.pub") == shown
    desk("policy", "sign", "p.yaml", "--fleet", "--key", "agent:ops@desk", "-o", "p.json")
    keyid = read_public(lent / "ops.pub").keyid
    assert keyid in Path("p.json").read_text()
    assert "holds no such key" in desk("policy", "sign", "p.yaml", "--fleet", "--key", "agent:x", code=65)
