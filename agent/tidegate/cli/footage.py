"""`tidegate footage`: what the agent keeps of the frames that it answers, and how that is deleted."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import fail, out
from tidegate.cli.json_option import JsonOption, write_json
from tidegate.cli.running_agent import ConfigOption, send_command
from tidegate.config import DEFAULT_CONFIG, load_config
from tidegate.errors import EX_UNAVAILABLE
from tidegate.footage import kept
from tidegate.footage.kept import FootageCount
from tidegate.footage.words import in_words
from tidegate.supervisor.sockets.commands import FILE_NAME as COMMANDS
from tidegate.supervisor.sockets.commands import ClearFootage, CountFootage

app = typer.Typer(help="Frames kept on this device, for certificates of its own.", no_args_is_help=True)


@app.command("show")
def show(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show how many frames are kept, of how long, and who may read them."""
    wanted = load_config(config)
    directory = wanted.state_dir / kept.DIRECTORY
    _check_readable(directory)
    found = kept.count(directory)
    if as_json:
        limits = None if wanted.footage is None else wanted.footage.model_dump(mode="json")
        write_json({"directory": str(directory), "limits": limits, **asdict(found)})
        return
    if wanted.footage is None:
        out.say(f"off: {config} has no `footage`, and none is kept")
    if wanted.footage is not None or found != FootageCount(0, 0, 0, None, None):
        out.say(f"{in_words(found)} in {directory}")


@app.command("count")
def count(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Have the agent count its certificates again on the frames that are kept, now; `status` says what came.

    It does so by itself after an update of runtime or system, and once a day on what is new, given charge.
    """
    done = send_command(load_config(config).state_dir, CountFootage())
    if done.refused:
        fail(done.refused, EX_UNAVAILABLE)
    if as_json:
        write_json({"counting": True})
    else:
        out.say("it is counted beside the answers; `tidegate status` says what came of it")


@app.command("clear")
def clear(
    config: ConfigOption = DEFAULT_CONFIG,
    state_dir: Annotated[
        Path | None, typer.Option(help="The agent's state directory, instead of --config.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Delete all frames that are kept, now; the agent goes on keeping new ones if agent.yaml says so."""
    directory = state_dir if state_dir is not None else load_config(config).state_dir
    _check_readable(directory / kept.DIRECTORY)
    before = kept.count(directory / kept.DIRECTORY)
    if (directory / COMMANDS).exists():
        done = send_command(directory, ClearFootage())
        if done.refused:
            fail(done.refused, EX_UNAVAILABLE)
    else:
        try:
            kept.clear(directory / kept.DIRECTORY)
        except OSError as error:
            fail(f"{error.filename}: {error.strerror}; run this as the agent's user, or as root", EX_UNAVAILABLE)
    gone = before.sampled + before.disagreements
    if as_json:
        write_json({"deleted": gone})
    else:
        out.say(f"{gone} frames deleted")


def _check_readable(directory: Path) -> None:
    """Nothing is not the same as nothing that this user may see."""
    if (trouble := kept.unreadable(directory)) is not None:
        fail(f"{trouble}; run this as the agent's user, or as root", EX_UNAVAILABLE)
