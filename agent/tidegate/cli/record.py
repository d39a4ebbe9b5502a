"""`tidegate record`: this device's day as a trace, to replay, to simulate and to fit a device's profile with."""

import csv
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, TextIO

import typer

from tidegate.cli.console import fail, out, waiting
from tidegate.cli.meter_option import MeterOption
from tidegate.cli.running_agent import ask_status
from tidegate.errors import EX_DATAERR, EX_UNAVAILABLE
from tidegate.quantities.counted import counted
from tidegate.supervisor.status.socket import StatusError
from tidegate_drivers.catalog import discover
from tidegate_drivers.reading import UNITS, Snapshot
from tidegate_drivers.sampler import Sampler
from tidegate_drivers.trace import COLUMNS, TIME

_SETTLE_S = 1.0


def record(
    file: Annotated[Path, typer.Argument(help="Where the trace goes; must not exist yet.")],
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 86_400.0,
    interval_s: Annotated[float, typer.Option("--interval", min=0.1, help="Seconds between two rows.")] = 10.0,
    state_dir: Annotated[
        Path | None, typer.Option(help="A running agent's state directory: its load is recorded too.")
    ] = None,
    meter: MeterOption = None,
) -> None:
    """Record readings, and with --state-dir the requests, until the time is over or Ctrl-C."""
    sampler = Sampler(discover(meter=meter))
    sampler.start()
    try:
        doing = f"recording into {file} for {seconds:g} s or until Ctrl-C"
        with file.open("x", encoding="utf-8", newline="") as handle, waiting(doing):
            rows = _record(handle, sampler, seconds, interval_s, state_dir)
    except FileExistsError:
        fail(f"{file}: already exists, and a recording never overwrites a file; name another", EX_DATAERR)
    except OSError as error:
        fail(f"{file}: can't be written: {error.strerror}; name another file", EX_UNAVAILABLE)
    finally:
        sampler.stop()
    out.say(f"{file}: {counted(rows, 'row')}")


def _record(handle: TextIO, sampler: Sampler, seconds: float, interval_s: float, state_dir: Path | None) -> int:
    handle.write(f"# clock: {datetime.now().astimezone():%H:%M}\n")
    handle.write("# Recorded on a device; an empty cell is a reading that it did not have at that moment.\n")
    columns = [name for name, column in COLUMNS.items() if column.reading in UNITS]
    columns += ["requests_hz"] * (state_dir is not None)
    writer = csv.writer(handle, lineterminator="\n")
    writer.writerow([TIME, *columns])
    time.sleep(_SETTLE_S)
    began_at, rows = time.monotonic(), 0
    with suppress(KeyboardInterrupt):
        while (elapsed_s := time.monotonic() - began_at) <= seconds:
            snapshot = sampler.snapshot()
            cells = [_cell(snapshot, name) for name in columns if name != "requests_hz"]
            cells += [_requests(state_dir)] if state_dir is not None else []
            writer.writerow([f"{elapsed_s:.1f}", *cells])
            handle.flush()  # a power cut ends the recording, not what was recorded
            rows += 1
            time.sleep(max(0.0, rows * interval_s - (time.monotonic() - began_at)))
    return rows


def _cell(snapshot: Snapshot, column: str) -> str:
    reading = COLUMNS[column].reading
    number = snapshot.number(reading)
    if number is not None:
        low, high = COLUMNS[column].limits
        return f"{min(high, max(low, number)):.3f}".rstrip("0").rstrip(".")
    return snapshot.word(reading) or ""


def _requests(state_dir: Path) -> str:
    try:
        served = ask_status(state_dir).served
    except StatusError:
        return ""
    asked_hz = None if served is None else served.asked_hz
    return "" if asked_hz is None else f"{asked_hz:.3f}"
