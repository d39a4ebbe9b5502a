"""What the demo's frames and its last lines must say, in whatever terminal."""

import re

from terminal import Terminal

FACTS = {
    "battery": r"battery \d+\.\d %",
    "temperature": r"temperature \d+\.\d C",
    "power source": r"power source (battery|external)",
    "point": r"point (full|int8[-a-z0-9]*), rung \d of \d",
    "risk": r"certified risk ≤ \d+\.\d%",
    "reason": r"because (nothing is decided|[^…]*(battery power|no rule holds|(is|rose) (above|below) \d+ [C%]))",
    "decision": r"last decision (none yet|\d\d:\d\d:\d\d (decision: wants|switch: [-a-z0-9]+ →) [-a-z0-9]+: \w+)",
    "requests": r"requests (not counted yet|none in the last|\d+/s served, failed 0)",
}


def is_frame(text: str) -> bool:
    """Whether the status is drawn, and nothing of what comes behind the last frame."""
    return "battery" in text and "simulating" not in text


def missing(text: str) -> list[str]:
    return [name for name, pattern in FACTS.items() if not re.search(pattern, text)]


def coloured(terminal: Terminal) -> bool:
    return re.search(rb"\x1b\[[0-9;]*3[0-7]m", terminal.written) is not None


ENDS = (
    r"answers +[\d,]+ given, 0 failed, in \d+(\.\d)? s",
    r"right +\d+\.\d% of them",
    r"switches +\d+, over \d operating points; \d polic(y|ies) pushed to it; no worker ended",
    r"telemetry +\d+ rows to 127\.0\.0\.1:\d+, none lost",
    r"saved +simulated, a day like this one for a camera's network: 51\.7 Wh in place of 61\.\d Wh .*",
)
"""The five lines that a run ends with, whatever their breaks."""

ENDING = " ".join(ENDS).replace(" +", " ")


def ending(terminal: Terminal) -> str:
    """What stands behind the last frame, on one line."""
    written = " ".join(terminal.written.decode(errors="replace").split())
    return written[written.rindex("answers ") :]
