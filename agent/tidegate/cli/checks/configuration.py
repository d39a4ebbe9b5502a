"""Whether an agent would start with a file: it and all that it names, without touching the network."""

from dataclasses import dataclass
from pathlib import Path

from tidegate.cli.checks.check import Check, attempt
from tidegate.config import AgentConfig, board_profile, load_config
from tidegate.documents import Document, parse, read
from tidegate.engines.runtime.registry import UnknownEngine, check_installed
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.supervisor.broker_address import broker_address
from tidegate.supervisor.reload.candidate import read_policy
from tidegate.telemetry.broker import Broker


@dataclass(frozen=True, slots=True)
class Configuration:
    """What could be read; None for what could not or is not there."""

    config: AgentConfig | None
    bundle: Bundle | None
    broker: Broker | None
    checks: tuple[Check, ...]


def check_configuration(path: Path) -> Configuration:
    """Read agent.yaml, board, bundle, policy and password; every fault is found, not the first alone."""
    checks: list[Check] = []
    config = attempt("agent.yaml", checks, lambda: load_config(path))
    if config is None:
        return Configuration(None, None, None, tuple(checks))
    checks.append(Check("agent.yaml", "ok", f"{path} is valid"))
    profile = attempt("board", checks, lambda: board_profile(config))
    bundle = attempt("bundle", checks, lambda: open_bundle(config.bundle))
    if bundle is not None:
        count = len(bundle.ladder.points)
        checks.append(Check("bundle", "ok", f"{bundle.model}, {count} operating points, files as recorded"))
        board, ladder = None if profile is None else profile.board, bundle.ladder
        running = attempt("policy", checks, lambda: read_policy(_policy(config), board, ladder))
        if running is not None:
            said = f"{running.policy.name} version {running.policy.version} is valid"
            checks.append(Check("policy", "ok", said))
    engine = config.worker.engine
    try:
        check_installed(engine)
        checks.append(Check("engine", "ok", f"{engine} is installed"))
    except UnknownEngine as error:
        checks.append(Check("engine", "fault", str(error)))
    broker = attempt("broker", checks, lambda: broker_address(config.broker))
    return Configuration(config, bundle, broker, tuple(checks))


def _policy(config: AgentConfig) -> Document:
    return parse(read(config.policy), str(config.policy))
