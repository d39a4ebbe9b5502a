"""The root of the errors that a user can act on, and the exit codes of sysexits(3) that end a command."""

from typing import ClassVar

EX_USAGE = 64
EX_DATAERR = 65
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_TEMPFAIL = 75
EX_CONFIG = 78
BY_SIGINT = 130
BY_SIGPIPE = 141
"""Not of sysexits(3): what a shell says of a command that Ctrl-C ended, and of one that nobody reads any more."""


class TidegateError(Exception):
    """What a user can act on: `str()` says where, what was found and what is allowed or to be done.

    A command that raises one ends with this message and `exit_code`, which every subclass states.
    """

    exit_code: ClassVar[int] = EX_SOFTWARE
