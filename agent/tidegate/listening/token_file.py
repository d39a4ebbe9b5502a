"""The file that a token is in."""

from pathlib import Path

from tidegate.documents import read
from tidegate.errors import EX_UNAVAILABLE, TidegateError

LEAST_TOKEN = 16
"""Characters: nobody guesses it by asking."""


class TokenError(TidegateError):
    """What is in the file is no token; the message says what is allowed."""

    exit_code = EX_UNAVAILABLE


def read_token(path: Path) -> str:
    """The token in a file. Raises TokenError, or DocumentError where the file can't be read."""
    token = read(path).strip()
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        found = f"{len(token)} characters" if token.isascii() and token.isprintable() else "other characters"
        raise TokenError(
            f"{path}: no token that can be sent and not be guessed: found {found}; allowed is one "
            f"line of at least {LEAST_TOKEN} ASCII characters without spaces; make one with `openssl rand -hex 16`"
        )
    return token
