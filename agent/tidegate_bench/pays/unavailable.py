"""What a data set needs and this machine lacks."""

from tidegate.errors import EX_UNAVAILABLE, TidegateError


class DataSetUnavailable(TidegateError):  # noqa: N818 - reads as what it is at the call site
    """A data set can't be had here; the message says what is missing."""

    exit_code = EX_UNAVAILABLE
