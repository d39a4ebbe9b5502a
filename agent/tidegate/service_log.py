"""How the service logs: for journald with each line's priority and no time of our own, elsewhere with both."""

import logging
import os
import sys
from typing import TextIO

from tidegate.folded_log import FoldingHandler

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Syslog's numbers, as sd-daemon(3) has them before a line: <3> is an error."""
_DEBUG = 7


class JournalFormatter(logging.Formatter):
    """Prefixes every line, since journald takes each one for an entry of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as journald reads it."""
        number = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG)
        return "\n".join(f"<{number}>{line}" for line in super().format(record).splitlines() or [""])


def journal_reads(stream: TextIO) -> bool:
    """Whether what is written there goes to journald, as JOURNAL_STREAM says by device and inode."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def log_to_standard_error(process: str = "", *, by_text: bool = False) -> FoldingHandler:
    """Log from now on, at a bounded rate; `process` stands in each line. Its `tick` says what was left out."""
    handler = FoldingHandler(sys.stderr, by_text=by_text)
    who = f"{process} " if process else ""
    if journal_reads(sys.stderr):
        handler.setFormatter(JournalFormatter(f"{who}%(message)s"))
    else:
        handler.setFormatter(logging.Formatter(f"%(asctime)s {who}%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    return handler
