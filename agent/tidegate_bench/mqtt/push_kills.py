"""Pushes to a device whose power is cut before each change that they make on its disk: old or new, never half."""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from tidegate_bench.broken import BrokenError
from tidegate_bench.mqtt.killed_child import die_at_change, forked, was_killed

MOST_CHANGES = 1_000
"""A push that changes the disk more often than that does not come to its end."""


class Story(Protocol):
    """One kind of push, of a second version over an accepted first one."""

    @property
    def name(self) -> str:
        """What it is, in words."""

    def begin(self, directory: Path) -> None:
        """Bring the first version into force."""

    def push(self, directory: Path) -> None:
        """Push the second one; called in a process that may be killed."""

    def half_applied(self, directory: Path) -> str:
        """Start again in what is left, have the broker repeat the push, and push a third: what is half, if any."""

    def left_at(self, directory: Path) -> str:
        """How far the push had come, as the disk says."""


@dataclass(frozen=True, slots=True)
class PushKills:
    """What became of one story: how many kills by how far the push had come, and what was half-applied.

    `again` of the kills hit the start after a kill, with the broker's repetition of the push.
    """

    story: str
    kills: Mapping[str, int]
    again: int
    half_applied: tuple[str, ...]


def kill_pushes(story: Story, directory: Path, every: int) -> PushKills:
    """Cut the power before each change on the disk, or one of `every`, and then of every second start once more.

    Raises BrokenError. The caller must have one thread.
    """
    first = directory / "first"
    first.mkdir(parents=True)
    story.begin(first)
    counted, again, half = Counter[str](), 0, list[str]()
    for number in range(1, MOST_CHANGES, every):
        there, twice = directory / f"killed-{number}", directory / f"killed-{number}-twice"
        shutil.copytree(first, there)
        if killed := _killed(story, there, number):
            counted[story.left_at(there)] += 1
            if number % 2:
                shutil.copytree(there, twice)
                if _killed(story, twice, number * 7 % 23 + 1):
                    counted[story.left_at(twice)] += 1
                    again += 1
                half += _told(story, twice, number)
        half += _told(story, there, number)
        if not killed:
            return PushKills(story.name, counted, again, tuple(half))
    raise BrokenError(f"{story.name}: still changes the disk after {MOST_CHANGES} changes")


def _told(story: Story, directory: Path, number: int) -> list[str]:
    problem = story.half_applied(directory)
    shutil.rmtree(directory)
    return [f"{story.name}, before change {number}: {problem}"] if problem else []


def _killed(story: Story, directory: Path, number: int) -> bool:
    return was_killed(forked(partial(_push, story, directory, number)))


def _push(story: Story, directory: Path, number: int) -> None:
    die_at_change(number, directory)
    story.push(directory)
