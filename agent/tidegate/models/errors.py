"""The one error a bundle's reader sees."""

from tidegate.errors import EX_DATAERR, TidegateError


class BundleError(TidegateError):
    """A bundle can't be used: the message says where, what was found, and what is allowed."""

    exit_code = EX_DATAERR
