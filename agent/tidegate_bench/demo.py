"""`tidegate bench demo`: the demo as a user runs it, in a process of its own, held against its goals."""

import json
import subprocess

from tidegate import child
from tidegate_bench.broken import BrokenError
from tidegate_bench.figures import Figures, Goal

FULL_SECONDS = 60
QUICK_SECONDS = 30
STARTUP_ALLOWANCE_S = 120


def run(*, quick: bool) -> Figures:
    """Run the demo bounded, without a terminal, and read its last line. Raises BrokenError."""
    seconds = QUICK_SECONDS if quick else FULL_SECONDS
    command = child.command("tidegate.cli.main", "demo", "--seconds", str(seconds))
    try:
        finished = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=seconds + STARTUP_ALLOWANCE_S,
            check=False,
            env=child.environment(),
        )
    except subprocess.TimeoutExpired:
        raise BrokenError(f"the demo did not end within {seconds + STARTUP_ALLOWANCE_S} s") from None
    lines = finished.stdout.splitlines()
    if finished.returncode != 0 or not lines:
        raise BrokenError(f"the demo ended with code {finished.returncode}; its messages are above")
    summary = json.loads(lines[-1])
    return Figures(
        bench="demo",
        rows=[summary],
        goals=[
            Goal("requests failed", 0, summary["requests_failed"], at_least=False),
            Goal("telemetry lost", 0, summary["telemetry_lost"], at_least=False),
            Goal("switches", 3, summary["switches"]),
            Goal("policy pushes applied", 1, summary["policy_pushes_applied"]),
        ],
    )
