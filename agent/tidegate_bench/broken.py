"""What ends a benchmark without figures."""

from tidegate.errors import EX_SOFTWARE, TidegateError


class BrokenError(TidegateError):
    """A process that the benchmark measures broke or did not answer; the message says which and how."""

    exit_code = EX_SOFTWARE
