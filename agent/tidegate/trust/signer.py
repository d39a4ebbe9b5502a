"""What can sign: a private key in a file, or one that another program holds and lends."""

from typing import Protocol

from tidegate.trust.keys import PublicKey


class Signer(Protocol):
    """One Ed25519 key."""

    @property
    def public(self) -> PublicKey:
        """The key that its signatures are verified with."""

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, 64 bytes. Raises TidegateError where the key's holder refuses."""
