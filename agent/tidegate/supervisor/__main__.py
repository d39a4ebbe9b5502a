"""`python -m tidegate.supervisor AGENT_YAML`: the service itself, without the command line and its libraries."""

import asyncio
import gc
import logging
import os
import sys
from functools import partial
from pathlib import Path

from tidegate.config import load_config
from tidegate.errors import TidegateError
from tidegate.service_log import journal_reads, log_to_standard_error
from tidegate.supervisor.bounded_log import BoundedLog
from tidegate.supervisor.main import run_agent

log = logging.getLogger("tidegate")


def main(config: Path) -> int:
    """Serve the model until SIGTERM or Ctrl-C; an exit code of sysexits(3)."""
    # What was imported stays: no collection has to walk it, least of all those at the end, a fifth of a second.
    gc.freeze()
    lines = log_to_standard_error(by_text=True)
    bounded = BoundedLog.asked_for()

    def each_second() -> None:
        lines.tick()
        if bounded is not None:
            bounded.look()

    try:
        reread = partial(load_config, config.resolve())
        asyncio.run(run_agent(reread(), reread=reread, each_second=each_second))
    except TidegateError as error:
        if journal_reads(sys.stderr):
            log.critical("%s", error)
        else:
            sys.stderr.write(f"{error}\n")
        return error.exit_code
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
