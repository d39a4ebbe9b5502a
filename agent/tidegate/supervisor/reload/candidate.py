"""All that a reload is to bring into force, read and checked before anything is touched."""

from dataclasses import dataclass

from tidegate.config import AgentConfig
from tidegate.documents import Document, parse, read
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.ladder import Ladder
from tidegate.policy.board import Board
from tidegate.policy.points import check_points
from tidegate.supervisor.broker_address import broker_address
from tidegate.supervisor.reload.changes import changes
from tidegate.supervisor.updates.pushed_policy import Reader, Running
from tidegate.telemetry.broker import Broker


@dataclass(frozen=True, slots=True)
class Candidate:
    """A valid configuration with what it names; `after_restart` are keys of it that are not swapped."""

    config: AgentConfig
    after_restart: tuple[str, ...]
    bundle: Bundle
    local: Document
    policy: Running
    broker: Broker | None


def read_candidate(running: AgentConfig, wanted: AgentConfig, opened: Bundle, board: Board | None) -> Candidate:
    """The candidate of a valid agent.yaml; `opened` is the bundle in force. Reads files, hashes the bundle.

    Raises TidegateError.
    """
    change = changes(running, wanted)
    bundle = open_bundle(change.config.bundle)
    if bundle.sha256 == opened.sha256 and change.config.bundle == running.bundle:
        bundle = opened
    local = parse(read(change.config.policy), str(change.config.policy))
    policy = read_policy(local, board, bundle.ladder)
    broker = broker_address(change.config.broker)
    return Candidate(change.config, change.after_restart, bundle, local, policy, broker)


def read_policy(local: Document, board: Board | None, ladder: Ladder) -> Running:
    """The local policy, its points held against the ladder. Raises DocumentError."""
    running = Reader(local, board, lambda: ladder).local()
    check_points(local, running.policy, ladder)
    return running
