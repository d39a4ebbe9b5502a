"""`python -m tidegate.supervisor AGENT_YAML`: the service itself, without the command line and its libraries."""

import asyncio
import logging
import os
import sys
from functools import partial
from pathlib import Path

from tidegate.config import load_config
from tidegate.errors import TidegateError
from tidegate.supervisor.main import run_agent


def main(config: Path) -> int:
    """Serve the model until SIGTERM or Ctrl-C; an exit code of sysexits(3)."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        reread = partial(load_config, config.resolve())
        asyncio.run(run_agent(reread(), reread=reread))
    except TidegateError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
