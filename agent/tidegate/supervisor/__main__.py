"""`python -m tidegate.supervisor [AGENT_YAML]`: the service itself, without the command line and its libraries."""

import asyncio
import gc
import logging
import os
import sys
import time
from functools import partial
from pathlib import Path

from tidegate.config import DEFAULT_CONFIG, load_config
from tidegate.engines.runtime.installed import UnknownEngine, check_installed
from tidegate.errors import TidegateError
from tidegate.service_log import journal_reads, log_to_standard_error
from tidegate.supervisor.bounded_log import BoundedLog
from tidegate.supervisor.exit_code import told
from tidegate.supervisor.main import StartError, run_agent

log = logging.getLogger("tidegate")

COLLECT_EVERY_S = 60.0


def main(config: Path) -> int:
    """Serve the model until SIGTERM or Ctrl-C; an exit code of sysexits(3), or what is told in its place."""
    # What was imported stays: no collection has to walk it, least of all those at the end, a fifth of a second.
    gc.freeze()
    # So long the control loop waits for another thread, such as one that reads a pushed text, when it wakes up;
    # and a step wakes up several times. The threads of an idle agent seldom wait for each other.
    sys.setswitchinterval(0.002)
    lines = log_to_standard_error(by_text=True)
    bounded = BoundedLog.asked_for()

    collected_at = time.monotonic()

    def now_and_then() -> None:
        nonlocal collected_at
        # By itself Python looks at what is old only once that has grown by a quarter of what was there at first.
        # With it go the freed tuples that are kept, up to 2,000 of each length: 2 MB after half an hour.
        if time.monotonic() - collected_at > COLLECT_EVERY_S:
            gc.collect()
            collected_at = time.monotonic()
        lines.tick()
        if bounded is not None:
            bounded.look()

    try:
        reread = partial(load_config, config if config == DEFAULT_CONFIG else config.resolve())
        first = reread()
        try:
            check_installed(first.worker.engine)
        except UnknownEngine as error:
            # The worker would find out as well, again and again.
            raise StartError(f"{config}: {error}") from None
        asyncio.run(run_agent(first, reread=reread, now_and_then=now_and_then))
    except TidegateError as error:
        if journal_reads(sys.stderr):
            log.critical("%s", error)
        else:
            sys.stderr.write(f"{error}\n")
        return told(error.exit_code, os.environ)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_CONFIG))
