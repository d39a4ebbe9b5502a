"""Why a worker ended, in a sentence that says what to do. `oom_kills` reads; `cause` is pure."""

import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_OUT_OF_MEMORY = ": the kernel ran out of memory; set worker.memory_limit, or serve a smaller bundle"
_CODE_CRASHED = ": the engine's code crashed; the crash report says where"
_CRASHES = dict.fromkeys((signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE), _CODE_CRASHED) | {
    signal.SIGILL: ": this processor lacks an instruction that the engine uses; set another worker.engine"
}


def oom_kills(root: Path = Path("/")) -> Mapping[str, int]:
    """How many processes the kernel has ended for want of memory, by the file that counts them (Linux)."""
    found = {}
    with suppress(OSError, ValueError):
        found["vmstat"] = _count((root / "proc/vmstat").read_text())
    with suppress(OSError, ValueError):
        # cgroup v2 has one line, `0::/path`; the limit that a worker meets is that of its own unit.
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                events = root / "sys/fs/cgroup" / line.removeprefix("0::").strip("/\n") / "memory.events"
                found["cgroup"] = _count(events.read_text())
    return found


def cause(returncode: int, before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """Why a process ended, by its return code and what `oom_kills` said at its start and at its end."""
    if returncode >= 0:
        return f"it ended with code {returncode}; the log says why"
    try:
        number = signal.Signals(-returncode)
    except ValueError:
        return f"killed by signal {-returncode}"
    killed = f"killed by signal {number.value} ({number.name})"
    if number is signal.SIGKILL:
        out_of_memory = any(after[name] > count for name, count in before.items() if name in after)
        return f"{killed}{_OUT_OF_MEMORY if out_of_memory else ' from outside'}"
    return killed + _CRASHES.get(number, "")


def _count(text: str) -> int:
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))
