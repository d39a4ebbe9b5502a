"""`tidegate policy drift`: the points that the drift guard took off the ladder, and how they get back on it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import fail, out
from tidegate.cli.json_option import JsonOption, write_json
from tidegate.cli.running_agent import ConfigOption, ask_status, send_command
from tidegate.config import DEFAULT_CONFIG, load_config
from tidegate.errors import EX_DATAERR
from tidegate.supervisor.sockets.commands import ForgetDrift


def drift_command(
    config: ConfigOption = DEFAULT_CONFIG,
    forget: Annotated[str | None, typer.Option("--forget", help="Put this point back on the ladder.")] = None,
    forget_all: Annotated[bool, typer.Option("--forget-all", help="Put all of them back.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the points that disagreed more than their certificates allow, or put them back on the ladder."""
    state_dir = load_config(config).state_dir
    if forget is not None or forget_all:
        back = _forget(state_dir, None if forget_all else forget)
        if as_json:
            write_json({"back_on_the_ladder": list(back)})
        else:
            out.say(f"back on the ladder: {', '.join(back)}")
        return
    demotions = ask_status(state_dir).demotions
    if as_json:
        write_json({"off_the_ladder": [asdict(each) for each in demotions]})
        return
    for each in demotions:
        out.say(f"{each.point}: off the ladder since {each.since}: it {each.because}")
    if not demotions:
        out.print("no point is off the ladder")


def _forget(state_dir: Path, point: str | None) -> Sequence[str]:
    done = send_command(state_dir, ForgetDrift(point))
    if done.refused:
        fail(done.refused, EX_DATAERR)
    if not done.points:
        which = "no point" if point is None else f"{point}: not"
        fail(f"{which} off the ladder; `tidegate policy drift` lists those that are", EX_DATAERR)
    return done.points
