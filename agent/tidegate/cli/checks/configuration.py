"""Whether an agent would start with a file: it and all that it names, without touching the network."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tidegate.cli.checks.check import Check, attempt
from tidegate.config import AgentConfig, board_profile, load_config
from tidegate.documents import Document, parse, read
from tidegate.engines.runtime.installed import UnknownEngine, check_installed
from tidegate.listening.token_file import read_token
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.supervisor.broker_address import broker_address
from tidegate.supervisor.endpoint_access import certificate_trouble, exposure, tcp_access
from tidegate.supervisor.frigate_package import lacking_for_frigate
from tidegate.supervisor.models.further_model import check_name
from tidegate.supervisor.own_certificate import certificate_in_words, certified
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
    """Read agent.yaml, board, bundle, policy, password and token; every fault is found, not the first alone."""
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
        board, ladder = None if profile is None else profile.board, certified(bundle, config).bundle.ladder
        running = attempt("policy", checks, lambda: read_policy(_policy(config), board, ladder))
        if running is not None:
            said = f"{running.policy.name} version {running.policy.version} is valid"
            checks.append(Check("policy", "ok", said))
        checks.extend(_certificate(config, bundle))
    engine = config.worker.engine
    try:
        check_installed(engine)
        checks.append(Check("engine", "ok", f"{engine} is installed"))
    except UnknownEngine as error:
        checks.append(Check("engine", "fault", str(error)))
    further = dict(_further(config, bundle, checks))
    checks.extend(_frigate(config, further.get(config.frigate.model or "", bundle) if config.frigate else None))
    web = config.web
    if web is not None and web.token_file is not None:
        file = web.token_file
        attempt("web", checks, lambda: read_token(file))
    broker = attempt("broker", checks, lambda: broker_address(config.broker))
    checks += _check_access(config)
    return Configuration(config, bundle, broker, tuple(checks))


def _check_access(config: AgentConfig) -> Iterator[Check]:
    """The token, and the certificate with its key and its time."""
    listen = config.listen
    found: list[Check] = []
    access = attempt("listen", found, lambda: tcp_access(listen))
    yield from found
    if access is None:
        return
    if (trouble := certificate_trouble(access.tls, time.time())) is not None:
        yield Check("listen", "fault" if trouble.is_refused else "warning", trouble.said, trouble.way_out)
    if said := exposure(listen):
        said, _, way_out = said.partition("; ")
        yield Check("listen", "warning", said, way_out)


def _further(config: AgentConfig, main: Bundle | None, checks: list[Check]) -> Iterator[tuple[str, Bundle | None]]:
    """The models beside the main one: their bundles, engines and names."""
    for each in config.models:
        name, path, engine = f"model {each.name}", each.bundle, each.engine
        found: list[Check] = []
        if main is not None:
            attempt(name, found, partial(check_name, main.model, (each.name,)))
        bundle = attempt(name, found, partial(open_bundle, path))
        if engine is not None:
            attempt(name, found, partial(check_installed, engine))
        if bundle is not None and not found:
            count = len(bundle.ladder.points)
            found.append(Check(name, "ok", f"{bundle.model}, {count} operating points, files as recorded"))
        checks += found
        yield each.name, bundle


def _certificate(config: AgentConfig, bundle: Bundle) -> Iterator[Check]:
    """Of this place: whether it would count, and whether it was counted on what runs here."""
    found = certified(bundle, config)
    if found.report is None:
        return
    if found.own is None:
        yield Check("certificate", "fault", found.report.reason)
        return
    yield Check("certificate", "ok", certificate_in_words(found))
    if found.report.placement != found.report.here:
        said = f"it was counted on {found.report.placement}, here is {found.report.here}"
        way_out = "the agent counts again if it keeps frames: `footage` in agent.yaml"
        yield Check("certificate", "warning", said, "" if config.footage is not None else way_out)


def _frigate(config: AgentConfig, bundle: Bundle | None) -> Iterator[Check]:
    if config.frigate is None:
        return
    if (reason := lacking_for_frigate()) is not None:
        yield Check("frigate", "fault", reason)
    if bundle is not None and bundle.calibration.comparison.detector is None and not config.frigate.hand_over:
        said = f"bundle {bundle.model} is no detector: Frigate would never get a box"
        way_out = "build one with `bundle build --task detect`, or set frigate.hand_over"
        yield Check("frigate", "warning", said, way_out)


def _policy(config: AgentConfig) -> Document:
    return parse(read(config.policy), str(config.policy))
