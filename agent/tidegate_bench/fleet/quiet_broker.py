"""mosquitto as it is set up for a fleet: not written down after each message, as the tests' one is."""

from collections.abc import Sequence
from pathlib import Path

from tidegate.fleet.broker import LocalBroker, mosquitto

AUTOSAVE_S = 30


def quiet_broker(directory: Path) -> LocalBroker:
    """It saves every half minute and when it ends in order; it takes as many connections as there come."""
    return LocalBroker(directory, program=_program)


def _program(directory: Path, port: int, settings: Sequence[str]) -> Sequence[str | Path]:
    program, option, config = mosquitto(directory, port, settings)
    lines = Path(config).read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("autosave_")]
    more = (f"autosave_interval {AUTOSAVE_S}", "max_connections -1", "max_inflight_messages 20")
    Path(config).write_text("\n".join((*kept, *more)) + "\n", encoding="utf-8")
    return program, option, config
