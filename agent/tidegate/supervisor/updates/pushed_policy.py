"""Policies that were pushed, read for this device; and the one to start with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tidegate.documents import Document, DocumentError, parse
from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.ladder import Ladder
from tidegate.policy.board import Board
from tidegate.policy.points import check_points
from tidegate.policy.policy import Policy
from tidegate.policy.schema import load_layers
from tidegate.policy.store import PolicyStore, StoredPolicy, digest_of
from tidegate.shortened import shortened
from tidegate.supervisor.updates.outcome import REASON_LIMIT, RolledBack


@dataclass(frozen=True, slots=True)
class Running:
    """The policy in force and where it came from; `signed_by` names the keys that signed a pushed one."""

    policy: Policy
    digest: str
    origin: Literal["local", "pushed"]
    signed_by: tuple[str, ...] = ()


class Reader:
    """Reads pushed policies over the local one and the board's profile; the longest take seconds: not in a loop.

    Points that a policy names must be on `ladder`: a fleet's boards run different engines, and a policy that asks
    one for another's point would have it refuse all requests.
    """

    def __init__(self, local: Document, board: Board | None, ladder: Callable[[], Ladder]) -> None:
        self.document = local
        self._board = board
        self._ladder = ladder

    def over(self, ladder: Ladder) -> "Reader":
        """One that reads over this ladder."""
        return Reader(self.document, self._board, lambda: ladder)

    def problem_of_local(self) -> str | None:
        """Why the local policy does not go with the ladder; None where it does."""
        try:
            check_points(self.document, self.local().policy, self._ladder())
        except DocumentError as error:
            return shortened(str(error), REASON_LIMIT)
        return None

    def local(self) -> Running:
        """The local policy. Raises DocumentError."""
        return Running(load_layers(self.document, self._board).policy, digest_of(self.document.text), "local")

    def pushed(self, text: str, name: str, version: int) -> Policy:
        """The policy in a pushed text; `name` is the file named in messages. Raises DocumentError."""
        document = parse(text, name)
        policy = load_layers(document, self._board, (self.document,)).policy
        check_points(document, policy, self._ladder())
        if policy.version != version:
            raise VersionError(f"its text says version {policy.version}, it was pushed as version {version}")
        return policy

    def stored(self, stored: StoredPolicy) -> Running | str:
        """An accepted policy, or why it is none any more: another release, another bundle, another board."""
        try:
            policy = self.pushed(stored.text, f"accepted policy version {stored.version}", stored.version)
        except (DocumentError, VersionError) as error:
            return shortened(str(error), REASON_LIMIT)
        except Exception as error:  # noqa: BLE001 - whatever it is, the local policy serves
            return shortened(f"it can't be read: {error!r}", REASON_LIMIT)
        return Running(policy, stored.digest, "pushed", stored.signed_by)


class VersionError(TidegateError, ValueError):
    """A policy pushed as another version than its text says."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class First:
    """What an agent starts with: the policy, the local one, and what of the stored ones does not run, and why."""

    running: Running
    local: Running
    given_up: tuple[RolledBack, ...] = ()


def first_policy(store: PolicyStore, reader: Reader) -> First:
    """The accepted pushed policy unless the local file has a higher version or it no longer loads.

    Raises DocumentError for the local one alone.
    """
    local = reader.local()
    given_up: list[RolledBack] = []
    for stored in (store.accepted, store.previous):
        if stored is None or stored.version < local.policy.version:
            continue
        running = reader.stored(stored)
        if isinstance(running, Running):
            return First(running, local, tuple(given_up))
        reason = shortened(f"it no longer loads, the one before it runs: {running}", REASON_LIMIT)
        given_up.append(RolledBack(stored.version, stored.digest, reason))
    return First(local, local, tuple(given_up))
