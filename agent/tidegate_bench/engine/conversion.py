"""Converting and quantizing a kept network for peers, each in a process of its own that ends afterwards.

`python -m tidegate_bench.engine.conversion PEER DIRECTORY` is the child.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tidegate import child
from tidegate_bench.engine.peers import PEERS
from tidegate_bench.engine.runtimes.peer import Peer
from tidegate_bench.progress import Progress

CONVERT_WITHIN_S = 900.0
"""NNCF takes most: it runs the network twice per layer and calibration input."""


def convert_all(directory: Path, peers: Iterable[Peer], progress: Progress) -> dict[str, str]:
    """Write what the peers need into the directory; why not, by the names of those for which it failed."""
    failed: dict[str, str] = {}
    done: dict[object, str | None] = {}
    for peer in peers:
        if peer.convert is None:
            continue
        if peer.convert not in done:
            progress(f"{directory.name}: converting for {peer.name}")
            done[peer.convert] = _failure(peer.name, directory)
        if (reason := done[peer.convert]) is not None:
            failed[peer.name] = reason
            progress(f"{directory.name}: {peer.name} can't be converted: {reason}")
    return failed


def _failure(name: str, directory: Path) -> str | None:
    command = child.command("tidegate_bench.engine.conversion", name, str(directory))
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=CONVERT_WITHIN_S, env=child.environment()
        )
    except subprocess.TimeoutExpired:
        return f"took more than {CONVERT_WITHIN_S:.0f} s"
    if ended.returncode == 0:
        return None
    said = [line for line in ended.stderr.splitlines() if line.strip()]
    return said[-1][:200] if ended.returncode > 0 and said else f"ended with code {ended.returncode}"


def main() -> None:
    """The child."""
    convert = PEERS[sys.argv[1]].convert
    assert convert is not None  # noqa: S101 - only peers that have one are named
    convert(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
