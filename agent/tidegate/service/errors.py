"""What ends an installation: the message says where, what was found and what to do."""

from tidegate.errors import EX_UNAVAILABLE, EX_USAGE, TidegateError


class ServiceError(TidegateError):
    """A verb can't be carried out on this machine; whatever ran before it still runs."""

    exit_code = EX_UNAVAILABLE


class UsageError(TidegateError):
    """The command line asks for what there is not."""

    exit_code = EX_USAGE
