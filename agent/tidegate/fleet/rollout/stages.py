"""Which devices come first: a share of them each time, others for each rollout. Pure."""

import hashlib
import math
from collections.abc import Collection, Sequence


def stages(
    devices: Collection[str], online: Collection[str], shares: Sequence[float], salt: str
) -> tuple[tuple[str, ...], ...]:
    """The devices of each stage, none twice; `shares` grow from 0 to 1 and count those of the stages before.

    Devices that are online come first, since nothing is learned of others; else the order hangs on `salt`, so that
    the canaries of one rollout are not those of all.
    """
    there = set(online)
    ordered = sorted(
        devices, key=lambda name: (name not in there, hashlib.sha256(f"{salt}/{name}".encode()).digest())
    )
    found, begin = [], 0
    for share in shares:
        end = max(begin, min(len(ordered), math.ceil(share * len(ordered))))
        found.append(tuple(ordered[begin:end]))
        begin = end
    return tuple(found)
