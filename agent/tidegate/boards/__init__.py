"""Board profiles: what a board has, its limits, and what is assumed of it where nothing was measured."""

from tidegate.boards.profile import Fact, Profile, find_profile, ready_profiles

__all__ = ["Fact", "Profile", "find_profile", "ready_profiles"]
