"""How a long benchmark tells what it is at."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Takes one line of text."""
