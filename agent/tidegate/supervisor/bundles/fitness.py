"""Whether a device can take a pushed bundle: its files, its size, its condition, and the room that there is."""

from pathlib import Path

from tidegate.models.bundle.manifest import FILES, MANIFEST
from tidegate.supervisor.bundles.staging import free_bytes, room_needed
from tidegate.supervisor.updates.outcome import Rejected
from tidegate.supervisor.updates.push_condition import read_condition_of
from tidegate.telemetry.payloads.bundle_envelope import BundlePush
from tidegate.trust.refusal import Refusal

RESERVE_BYTES = 16 << 20
"""What a pushed bundle leaves of the disk to everything else."""


def unfit(push: BundlePush, largest: int, slot: Path) -> Rejected | None:
    """Why it can't be taken into this slot; `largest` is the quota in bytes. Reads no content. Raises OSError."""
    if isinstance(problem := read_condition_of(push.when), str):
        return Rejected(push.version, push.hash, problem, Refusal.INVALID)
    found, expected = sorted(push.files), sorted((MANIFEST, *FILES))
    if found != expected:
        reason = f"found the files {', '.join(found)}; allowed are {', '.join(expected)}"
        return Rejected(push.version, push.hash, reason, Refusal.INVALID)
    if push.size > largest:
        reason = f"found {push.size} bytes, allowed are {largest}; raise pushed_bundles.max_size in agent.yaml"
        return Rejected(push.version, push.hash, reason, Refusal.TOO_LARGE)
    needed, free = room_needed(slot, push.size), free_bytes(slot)
    if needed + RESERVE_BYTES > free:
        reason = f"it takes {needed} bytes and is to leave {RESERVE_BYTES}, free are {free}; make room there"
        return Rejected(push.version, push.hash, f"{slot}: {reason}", Refusal.NO_ROOM)
    return None
