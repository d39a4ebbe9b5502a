"""`python -m tidegate.supervisor.state_schema STATE_DIR SCHEMA`, run by the older version that holds STATE_DIR."""

import sys
from pathlib import Path

from tidegate.supervisor.state_schema.bring import take_back

take_back(Path(sys.argv[1]), int(sys.argv[2]))
