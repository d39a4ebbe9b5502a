"""Keys that an SSH agent holds: they sign there, and no file of tidegate's has them.

The protocol is draft-ietf-sshm-ssh-agent, of which two questions are needed. For Ed25519 an agent signs the bytes
that it is given as they are, so that its signature is one of DSSE. It can't pass for one of a login: what SSH
signs there begins with the length of a session's name, and none is as long as `DSSE` read as a number.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.errors import EX_DATAERR, EX_UNAVAILABLE, TidegateError
from tidegate.trust.keys import SIGNATURE_BYTES, PublicKey
from tidegate.trust.openssh import ED25519, WireError, fingerprint, kind_of, raw_of, string, take_string

PREFIX = "agent:"
SOCKET = "SSH_AUTH_SOCK"
ANSWER_S = 120.0
"""A person may have to touch the key or to confirm."""
_LARGEST_BYTES = 256 << 10
_FAILURE, _LIST, _LISTED, _SIGN, _SIGNED = 5, 11, 12, 13, 14
_LENT = f"allowed is a key of the type {ED25519}: ssh-keygen -t ed25519, then ssh-add"


class SshAgentError(TidegateError):
    """No agent, or one that does not answer as an agent does, or refuses to sign."""

    exit_code = EX_UNAVAILABLE


class SshAgentKeyError(TidegateError):
    """The agent does not hold the key that was named, or one of another type."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key that the agent holds: as it names it, and the comment that it was added with."""

    blob: bytes
    comment: str

    @property
    def told(self) -> str:
        """As `ssh-add -l` shows it, in one line without control characters."""
        return f"{fingerprint(self.blob)} {ascii(self.comment)[1:-1]} ({ascii(kind_of(self.blob))[1:-1]})"


@dataclass(frozen=True, slots=True)
class SshAgentKey:
    """An Ed25519 key that the agent at `path` signs with."""

    public: PublicKey
    path: str
    held: HeldKey = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, 64 bytes. Raises SshAgentError."""
        kind, body = _asked(self.path, bytes([_SIGN]) + string(self.held.blob) + string(message) + bytes(4))
        if kind != _SIGNED:
            raise SshAgentError(
                f"{self.path}: the SSH agent refused to sign with {self.held.told}: it is locked (ssh-add -X), "
                "the key was taken out or may only be used for some hosts, or the use was not confirmed"
            )
        try:
            algorithm, signature = take_string(take_string(body)[0])
            signature = take_string(signature)[0]
        except WireError as error:
            raise SshAgentError(f"{self.path}: the SSH agent's signature is cut short: {error}") from None
        if algorithm != ED25519.encode() or len(signature) != SIGNATURE_BYTES:
            raise SshAgentError(f"{self.path}: the SSH agent signed as {algorithm!r}; {_LENT}")
        if not self.public.verifies(message, signature):
            raise SshAgentError(f"{self.path}: the SSH agent's signature is not that of {self.held.told}")
        return signature


def agent_key(named: str, environment: Mapping[str, str] = os.environ) -> SshAgentKey:
    """The key with this fingerprint (`SHA256:...`) or comment. Raises SshAgentError, SshAgentKeyError."""
    path = environment.get(SOCKET, "")
    if not path:
        raise SshAgentError(f"{PREFIX}{named}: no SSH agent: {SOCKET} is not set; eval $(ssh-agent), then ssh-add")
    held = _held(path)
    found = [each for each in held if named in (fingerprint(each.blob), each.comment)]
    if not found:
        there = "; ".join(each.told for each in held) or "none, or it is locked (ssh-add -X)"
        raise SshAgentKeyError(f"{PREFIX}{named}: the SSH agent holds no such key; it holds: {there}")
    raws = {each: raw_of(each.blob) for each in found}
    usable = {each: raw for each, raw in raws.items() if raw is not None}
    if not usable:
        raise SshAgentKeyError(f"{PREFIX}{named}: found {found[0].told}; {_LENT}")
    if len(usable) > 1:
        several = "; ".join(each.told for each in usable)
        raise SshAgentKeyError(
            f"{PREFIX}{named}: several keys have this comment; name one by fingerprint: {several}"
        )
    ((key, raw),) = usable.items()
    return SshAgentKey(PublicKey(raw), path, key)


def _held(path: str) -> Sequence[HeldKey]:
    kind, body = _asked(path, bytes([_LIST]))
    if kind != _LISTED:
        raise SshAgentError(
            f"{path}: the SSH agent does not list its keys (answer {kind}); is it locked? ssh-add -X"
        )
    keys, rest = [], body[4:]
    try:
        for _ in range(int.from_bytes(body[:4], "big")):
            blob, rest = take_string(rest)
            comment, rest = take_string(rest)
            keys.append(HeldKey(blob, comment.decode(errors="replace")))
    except WireError as error:
        raise SshAgentError(f"{path}: the SSH agent's list of keys is cut short: {error}") from None
    return keys


def _asked(path: str, question: bytes) -> tuple[int, bytes]:
    """The agent's answer: its number and what follows. Raises SshAgentError."""
    try:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(ANSWER_S)
            agent.connect(path)
            agent.sendall(string(question))
            size = int.from_bytes(_received(agent, 4), "big")
            if not 1 <= size <= _LARGEST_BYTES:
                raise SshAgentError(f"{path}: is no SSH agent: it announces {size} bytes; check {SOCKET}")
            answer = _received(agent, size)
    except OSError as error:
        said = error.strerror or str(error)
        raise SshAgentError(
            f"{path}: the SSH agent does not answer: {said}; check {SOCKET}, or start one"
        ) from None
    return answer[0], answer[1:]


def _received(agent: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        if not (more := agent.recv(size - len(received))):
            raise ConnectionResetError(0, "it hung up")
        received += more
    return received
