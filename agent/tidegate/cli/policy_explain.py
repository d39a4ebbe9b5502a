"""`tidegate policy explain`: why this point, and what would change it; live, or on a saved snapshot."""

import json
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import fail, out
from tidegate.cli.policy_options import BoardOption, LadderOption, open_ladder, read_policy
from tidegate.cli.running_agent import ConfigOption, ask_status
from tidegate.config import DEFAULT_CONFIG, load_config
from tidegate.errors import EX_DATAERR, EX_UNAVAILABLE, EX_USAGE
from tidegate.policy.decision import ControlState
from tidegate.policy.explain import Explanation, explain
from tidegate.policy.snapshot_file import SnapshotError, read_snapshot


def explain_command(
    config: ConfigOption = DEFAULT_CONFIG,
    snapshot: Annotated[
        Path | None,
        typer.Option("--snapshot", help="A saved state: JSON, such as `tidegate status --json` prints."),
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="The policy, with --snapshot.")] = None,
    board: BoardOption = None,
    ladder: LadderOption = None,
    point: Annotated[str | None, typer.Option("--point", help="The point in force, with --snapshot.")] = None,
    at: Annotated[datetime | None, typer.Option("--at", help="The time, with --snapshot; else now.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say which rule holds, which are held back, and what would change the decision."""
    if snapshot is None:
        _print(_live(config), as_json=as_json)
        return
    if policy is None:
        fail("--snapshot needs --policy FILE: a snapshot does not hold the policy", EX_USAGE)
    _, layered = read_policy(policy, board)
    points = open_ladder(ladder)
    try:
        saved, was_at = read_snapshot(snapshot.read_text("utf-8"))
    except (SnapshotError, OSError, UnicodeDecodeError) as error:
        fail(f"{snapshot}: {error}", EX_DATAERR)
    names = [each.name for each in points.points]
    start = point or (was_at if was_at in names else points.full.name)
    if start not in names:
        fail(f"--point {start}: not on the ladder; one of {', '.join(names)}", EX_USAGE)
    now = at.astimezone() if at is not None else datetime.now().astimezone()
    _print(explain(saved, layered.policy, points, ControlState(start), now), as_json=as_json)


def _live(config: Path) -> Explanation:
    status = ask_status(load_config(config).state_dir)
    if status.explanation is None:
        fail("the agent has not decided yet; ask again in a moment", EX_UNAVAILABLE)
    return status.explanation


def _print(explanation: Explanation, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(asdict(explanation)) + "\n")
        return
    for sentence in explanation.sentences:
        out.say(sentence)
