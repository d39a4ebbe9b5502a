"""The ready board profiles: loadable, sourced, and fit to be simulated."""

import pytest

from tidegate.boards import find_profile, ready_profiles
from tidegate.documents import DocumentError


@pytest.mark.parametrize("name", ready_profiles())
def test_ready_profiles_are_whole_and_say_where_facts_come_from(name):
    profile = find_profile(name)
    assert profile.board.name == profile.device.name == name
    assert all(fact.source for fact in profile.facts)
    assert any(fact.source.startswith("assumed") for fact in profile.facts)
    assert profile.device.throttle_release_c < profile.device.throttle_c


def test_the_boards_of_the_design_are_there():
    wanted = {
        "raspberry-pi-4",
        "raspberry-pi-5",
        "jetson-orin-nano",
        "rk3588",
        "x86-generic",
        "macbook",
        "mac-mini",
    }
    assert wanted <= set(ready_profiles())


def test_a_misspelt_board_names_the_nearest():
    with pytest.raises(DocumentError) as caught:
        find_profile("rasberry-pi-5")
    assert caught.value.problems[0].nearest == "raspberry-pi-5"
