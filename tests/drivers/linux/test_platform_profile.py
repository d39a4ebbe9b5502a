"""The firmware's profile, one of those it offers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.linux.platform_profile import discover
from tidegate_drivers.read_sensor import read_sensor

WriteTree = Callable[[str], Path]

DIRECTORY = "sys/firmware/acpi"
CHOICES = f"{DIRECTORY}/platform_profile_choices: low-power balanced performance\n"


@pytest.mark.parametrize("profile", ["low-power", "custom"])
def test_profile(write_tree: WriteTree, profile: str) -> None:
    (sensor,) = discover(write_tree(CHOICES + f"{DIRECTORY}/platform_profile: {profile}")).sensors
    assert read_sensor(sensor).value == profile


@pytest.mark.parametrize("profile", ["turbo", "", "low-power balanced"])
def test_word_that_is_not_offered_is_refused(write_tree: WriteTree, profile: str) -> None:
    (missing,) = discover(write_tree(CHOICES + f"{DIRECTORY}/platform_profile: {profile}")).unavailable
    assert "none of the choices" in missing.reason


def test_firmware_without_profiles(write_tree: WriteTree) -> None:
    assert "offers no profiles" in discover(write_tree(f"{DIRECTORY}/")).unavailable[0].reason
