"""All that a reload is to bring into force, read and checked before anything is touched."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.config import AgentConfig
from tidegate.documents import Document, parse, read
from tidegate.messages import TcpAccess
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.ladder import Ladder
from tidegate.policy.board import Board
from tidegate.policy.points import check_points
from tidegate.supervisor.broker_address import broker_address
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.endpoint_access import tcp_access
from tidegate.supervisor.models.further_model import FurtherModel, open_models
from tidegate.supervisor.own_certificate import certified, keys_in_force, read_own_certificate
from tidegate.supervisor.reload.changes import changes
from tidegate.supervisor.updates.pushed_policy import Reader, Running
from tidegate.telemetry.broker import Broker


@dataclass(frozen=True, slots=True)
class Candidate:
    """A valid configuration with what it names; `after_restart` are keys of it that are not swapped.

    `drift` is what is known of the bundle's points, None where the file of that is to be asked.
    """

    config: AgentConfig
    after_restart: tuple[str, ...]
    bundle: Bundle
    local: Document
    policy: Running
    broker: Broker | None
    access: TcpAccess
    models: tuple[FurtherModel, ...]
    drift: DriftRecord | None = None


def read_candidate(
    running: AgentConfig,
    wanted: AgentConfig,
    bundle_path: Path,
    board: Board | None,
    models: Sequence[FurtherModel] = (),
) -> Candidate:
    """The candidate of a valid agent.yaml; at `bundle_path` is the bundle to be in force.

    `models` are those beside it that are in force. Reads files, hashes bundles.

    Raises TidegateError.
    """
    change = changes(running, wanted)
    bundle = open_bundle(bundle_path)
    if change.config.certificate is not None:
        # Whoever reloads is told of one that is wrong; one for another bundle is reported.
        read_own_certificate(change.config.certificate, keys_in_force(change.config))
    local = parse(read(change.config.policy), str(change.config.policy))
    policy = read_policy(local, board, certified(bundle, change.config).bundle.ladder)
    broker = broker_address(change.config.broker)
    access = tcp_access(change.config.listen)
    further = open_models(change.config, bundle.model, models)
    return Candidate(change.config, change.after_restart, bundle, local, policy, broker, access, further)


def read_policy(local: Document, board: Board | None, ladder: Ladder) -> Running:
    """The local policy, its points held against the ladder. Raises DocumentError."""
    running = Reader(local, board, lambda: ladder).local()
    check_points(local, running.policy, ladder)
    return running
