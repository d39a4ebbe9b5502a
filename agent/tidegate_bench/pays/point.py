"""A point of a bundle as a contestant, in a process of its own, set up as a worker is.

`python -m tidegate_bench.pays.point POINT ENGINE DIRECTORY`, where DIRECTORY has the bundle and the inputs.
"""

import sys
from pathlib import Path

from tidegate.engines.runtime.memory import keep_one_heap
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle
from tidegate_bench.engine.contestant import serve
from tidegate_bench.engine.store import open_inputs

BUNDLE = "bundle"


def main() -> None:
    """The child."""
    name, engine_name, directory = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    keep_one_heap()
    bundle = open_bundle(directory / BUNDLE)
    engine = open_engine(engine_name, bundle, directory / "cache")
    variant = engine.prepare(bundle.ladder.points[bundle.ladder.rung(name)])
    serve(lambda batch: variant.run(batch).outputs, open_inputs(directory))


if __name__ == "__main__":
    main()
