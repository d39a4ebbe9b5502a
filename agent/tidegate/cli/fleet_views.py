"""`tidegate fleet status`, `watch` and `tail`: who is there and what happens, from what devices say over MQTT."""

import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from tidegate.cli.broker_option import BrokerOption, CaOption, PasswordFileOption, UsernameOption, broker_of
from tidegate.cli.console import fail, fit_terminal, out, show_table, waiting
from tidegate.cli.fleet_table import as_json, event_line, fleet_table, summary, verdict_table
from tidegate.errors import EX_TEMPFAIL, EX_USAGE
from tidegate.fleet.listener import Listener
from tidegate.fleet.overview import DeviceOverview
from tidegate.fleet.watched_fleet import WatchedFleet
from tidegate.telemetry.topics import ROOT, TopicError, checked_name
from tidegate.terminal.table import lay_out

REFRESH_S = 1.0

GroupOption = Annotated[str | None, typer.Option("--group", help="Only the devices of this group.")]


def status_command(
    group: GroupOption = None,
    listen_s: Annotated[
        float, typer.Option("--listen", min=0, max=3600, help="Seconds to wait for telemetry: batteries.")
    ] = 0.0,
    verdicts: Annotated[
        bool, typer.Option("--verdicts", help="The verdicts that each remembers, on policies and bundles.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    broker: BrokerOption = "127.0.0.1",
    username: UsernameOption = None,
    password_file: PasswordFileOption = None,
    ca: CaOption = None,
) -> None:
    """Show every device that the broker knows of: state, point, policy and bundle with the last verdicts.

    Ends with 75 when the broker knows of none.
    """
    with WatchedFleet(broker_of(broker, username, password_file, ca)) as watched:
        with waiting("listening to the fleet"):
            watched.wait_for_retained()
            time.sleep(listen_s)
        devices = watched.devices(group)
    now = time.time()
    if json_:
        sys.stdout.write(json.dumps(as_json(devices, now)) + "\n")
    if not devices:
        who = "no device" if group is None else f"no device of group {group}"
        fail(f"{broker}: {who} has said anything here; is it another broker? try `tidegate doctor`", EX_TEMPFAIL)
    if not json_ and verdicts:
        show_table(verdict_table(devices))
    elif not json_:
        show_table(fleet_table(summary(devices), devices, now, wide=True))


def watch_command(
    group: GroupOption = None,
    broker: BrokerOption = "127.0.0.1",
    username: UsernameOption = None,
    password_file: PasswordFileOption = None,
    ca: CaOption = None,
) -> None:
    """Show the fleet as it changes, until Ctrl-C; devices in trouble come first."""
    height = fit_terminal()
    if height is None:
        fail("watch needs a terminal; elsewhere use `tidegate fleet status --json` or `fleet tail`", EX_USAGE)
    with (
        WatchedFleet(broker_of(broker, username, password_file, ca)) as watched,
        Live(console=out, screen=True, auto_refresh=False) as live,
    ):
        try:
            while True:
                height = fit_terminal() or height
                live.update(_frame(watched.devices(group), height), refresh=True)
                time.sleep(REFRESH_S)
        except KeyboardInterrupt:
            return


def tail_command(
    device: Annotated[str | None, typer.Option("--device", help="Only this device.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only events of this kind.")] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many events.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object per event.")] = False,
    broker: BrokerOption = "127.0.0.1",
    username: UsernameOption = None,
    password_file: PasswordFileOption = None,
    ca: CaOption = None,
) -> None:
    """Print events of the devices as they come, until Ctrl-C."""
    try:
        which = "+" if device is None else checked_name(device, "device id")
    except TopicError as error:
        fail(str(error), EX_USAGE)
    done, printed = threading.Event(), 0
    kinds = frozenset(kind or ())

    def show(topic: str, payload: bytes) -> None:
        nonlocal printed
        line = event_line(topic.split("/")[1], payload, kinds, as_json=json_)
        if line is not None and not done.is_set():
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            printed += 1
            if printed == count:
                done.set()

    listener = Listener(
        broker_of(broker, username, password_file, ca),
        "tail",
        (f"{ROOT}/{which}/event",),
        lambda message: show(message.topic, bytes(message.payload)),
    )
    listener.start()
    try:
        # In steps: a wait without end would not hear Ctrl-C on every platform.
        while not done.wait(REFRESH_S):
            pass
    except KeyboardInterrupt:
        return
    finally:
        listener.stop()


def _frame(devices: Sequence[DeviceOverview], height: int) -> Text:
    """As many devices as the screen holds, the last line saying how many more there are."""
    now = time.time()
    shown = list(devices[: max(height - 4, 1)])
    more = len(devices) - len(shown)
    title = f"{time.strftime('%H:%M:%S')}  {summary(devices)}" + (f"; {more} more below" if more else "")
    text = lay_out(fleet_table(title, shown, now, wide=False), out.width)
    text.no_wrap = True
    return text
