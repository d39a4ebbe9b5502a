"""The keys that a device trusts, what each may sign, and whether an envelope is signed by enough of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.trust.dsse import Envelope
from tidegate.trust.keys import PublicKey
from tidegate.trust.refusal import Refusal


class Role(StrEnum):
    """What a key may sign."""

    POLICY = "policy"
    BUNDLE = "bundle"
    KEY_ROTATION = "key_rotation"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key with the name it has on this device, and what it may sign."""

    name: str
    key: PublicKey
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class Signed:
    """Enough of the trusted keys have signed: their names."""

    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotSigned:
    """It is not signed as it has to be: the kind of failure, and the reason in words."""

    refusal: Refusal
    reason: str


MOST_KEYS = 16
"""More have no use on one device, and each may have to be tried on a signature that names none."""


@dataclass(frozen=True, slots=True)
class KeysProblem:
    """What is wrong with a list of keys: where (the path from the list or the thresholds), and what is allowed."""

    said: str
    allowed: str
    at: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """`thresholds` are how many different keys have to sign for a role; one where it names none."""

    keys: tuple[TrustedKey, ...] = ()
    thresholds: Mapping[Role, int] = field(default_factory=dict)

    def threshold(self, role: Role) -> int:
        """How many keys have to sign."""
        return self.thresholds.get(role, 1)

    def with_role(self, role: Role) -> tuple[TrustedKey, ...]:
        """The keys that may sign for it."""
        return tuple(each for each in self.keys if role in each.roles)

    def problem(self) -> KeysProblem | None:
        """Why this is no list to trust: too long, a name or key twice, or a threshold that can't be reached."""
        if len(self.keys) > MOST_KEYS:
            return KeysProblem(f"{len(self.keys)} keys are too many", f"at most {MOST_KEYS}", ("keys",))
        for number, entry in enumerate(self.keys):
            for other in self.keys[:number]:
                if entry.name == other.name:
                    said = f"the name {entry.name} is taken"
                    return KeysProblem(said, "a name of its own for each key", ("keys", number, "name"))
                if entry.key == other.key:
                    said = f"{entry.name} and {other.name} are the same key"
                    return KeysProblem(said, "each key once, with all its roles", ("keys", number, "key"))
        for role, threshold in self.thresholds.items():
            having = len(self.with_role(role))
            if not 1 <= threshold <= max(1, having):
                said = f"with the role {role} are {having} keys, {threshold} can never sign"
                return KeysProblem(said, f"1 to {max(1, having)}", ("thresholds", role.value))
        return None

    def judge(self, envelope: Envelope, role: Role) -> Signed | NotSigned:
        """Whether enough keys with this role have signed; one key counts once, however often it signs.

        The kinds of failure are looked for among all signatures: the one named is the one nearest to success.
        """
        if not envelope.signatures:
            return NotSigned(Refusal.NOT_SIGNED, "it is not signed")
        valid, broken = self._signers(envelope)
        counted = tuple(name for name, roles in valid.items() if role in roles)
        needed = self.threshold(role)
        if len(counted) >= needed:
            return Signed(counted)
        if counted:
            said = f"{len(counted)} of {needed} signers that are needed for {role}: {', '.join(counted)}"
            return NotSigned(Refusal.TOO_FEW_SIGNERS, f"too few signers: found {said}")
        if broken:
            said = f"the signature is not that of {', '.join(broken)} over this envelope"
            return NotSigned(Refusal.BAD_SIGNATURE, f"{said}: it was changed on its way, or signed by another key")
        if valid:
            said = "; ".join(f"{name} may sign {', '.join(sorted(roles))}" for name, roles in valid.items())
            return NotSigned(Refusal.WRONG_ROLE, f"no signer may sign a {role}: {said}")
        ids = ", ".join(dict.fromkeys(_shown(signature.keyid) for signature in envelope.signatures))
        names = ", ".join(each.name for each in self.keys) or "none"
        return NotSigned(
            Refusal.UNKNOWN_KEY, f"signed by a key that is not trusted here ({ids}); trusted: {names}"
        )

    def _signers(self, envelope: Envelope) -> tuple[dict[str, frozenset[Role]], tuple[str, ...]]:
        """Whose signatures hold, with their roles; and whose are named on signatures that don't."""
        message = envelope.signed_bytes
        valid: dict[str, frozenset[Role]] = {}
        broken: dict[str, None] = {}
        for signature in envelope.signatures:
            named = [each for each in self.keys if signature.keyid in ("", each.key.keyid)]
            holds = [each for each in named if each.key.verifies(message, signature.sig)]
            valid |= {each.name: each.roles for each in holds}
            if not holds and signature.keyid:
                broken |= dict.fromkeys(each.name for each in named)
        return valid, tuple(name for name in broken if name not in valid)


def _shown(keyid: str) -> str:
    """A few characters of what a stranger wrote, none of which moves a cursor or begins a line."""
    return ascii(keyid[:16])[1:-1] or "none"
