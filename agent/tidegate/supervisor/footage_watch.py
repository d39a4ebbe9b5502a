"""Looks after the frames that the worker keeps: counts them, and deletes those that may not stay."""

import logging
from dataclasses import dataclass
from pathlib import Path

from tidegate.config import AgentConfig
from tidegate.footage import kept
from tidegate.footage.kept import AHEAD_S, DIRECTORY, FootageCount

log = logging.getLogger("tidegate")


@dataclass(frozen=True, slots=True)
class FootageState:
    """What is kept, and within which limits."""

    directory: Path
    count: FootageCount
    max_bytes: int
    max_age_s: float
    clip_s: float


def look_after(config: AgentConfig, now_s: float) -> FootageState | None:
    """Delete what is too old, or all where none is to be kept: None then. For a thread: it waits for the disk.

    `now_s` is the latest time known. Raises OSError where frames stay that should not.
    """
    directory, footage = config.state_dir / DIRECTORY, config.footage
    if footage is None:
        if kept.clear(directory):
            log.info("footage: agent.yaml has none kept; what there was is deleted")
        return None
    kept.expire(directory, footage.max_age, now_s, AHEAD_S)
    return FootageState(directory, kept.count(directory), int(footage.max_size), footage.max_age, footage.clip)
