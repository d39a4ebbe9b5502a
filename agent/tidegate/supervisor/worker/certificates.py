"""A ladder's certificates on their way to a worker: in a file without a name, as a command line is seen by all."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO

from tidegate.models.ladder import Certificate
from tidegate.supervisor.worker.crash_reports import stack_file


def handed_over(certificates: Mapping[str, Certificate]) -> IO[bytes]:
    """A file to be inherited, read from its beginning. Raises OSError."""
    file = stack_file()
    file.write(json.dumps({name: asdict(each) for name, each in certificates.items()}).encode())
    file.seek(0)
    return file
