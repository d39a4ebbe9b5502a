"""What building a package costs, in a process of its own: DIRECTORY of a kept network in, a line of JSON out."""

import json
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

# coremltools loads these where they are installed, to convert from; a device has neither.
for absent in ("torch", "sklearn"):
    sys.modules[absent] = None  # type: ignore[assignment]  # Python's own way to say that there is none

from tidegate.engines.coreml.package import write_package  # noqa: E402 - see above
from tidegate.engines.coreml.weight_format import WeightFormat  # noqa: E402
from tidegate_bench.apple.ways import ways  # noqa: E402
from tidegate_bench.broken import BrokenError  # noqa: E402
from tidegate_bench.engine.store import open_network  # noqa: E402


def main() -> None:
    """Processor time in seconds, and the most memory in MiB, libraries included."""
    network = open_network(Path(sys.argv[1]))
    started_s = time.process_time()
    with tempfile.TemporaryDirectory() as directory:
        write_package(network, ways(network), WeightFormat.FP16, Path(directory) / "four.mlpackage")
    taken_s = time.process_time() - started_s
    sys.stdout.write(json.dumps({"cpu_s": taken_s, "peak_mib": _peak_mib()}))


def _peak_mib() -> float:
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    # Linux lets `ru_maxrss` begin with the peak of whoever started the process: getrusage(2), kernel's exec_mmap.
    found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise BrokenError("/proc/self/status has no VmHWM")
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
