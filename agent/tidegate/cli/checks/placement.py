"""Where Core ML means to compute what a worker has compiled here. Not run on hardware yet."""

from collections.abc import Iterator
from pathlib import Path

from tidegate.cli.checks.check import Check
from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.runtime.apple_silicon import has_core_ml
from tidegate.engines.runtime.installed import installed_version


def check_placement(engine: str, cache: Path) -> Iterator[Check]:
    """A line for each function of each compiled package; nothing where Core ML is not, or not asked for.

    `engine` is as agent.yaml has it, `cache` the directory where the worker keeps what it compiled.
    """
    if not has_core_ml() or installed_version("coremltools") is None:
        return
    from tidegate.engines.coreml.compute_plan import planned_functions  # noqa: PLC0415 - loads coremltools
    from tidegate.engines.coreml.engine import COMPILED, UNITS  # noqa: PLC0415 - as above

    asked = {engine: UNITS[engine]} if engine in UNITS else UNITS if engine == "auto" else {}
    compiled = sorted(cache.glob(f"model-*/{COMPILED}"))
    if asked and not compiled:
        said = f"no worker has compiled a Core ML package in {cache}"
        yield Check(
            "placement", "ok", said, "a service keeps its own: name that as CACHE_DIRECTORY, and run as its user"
        )
    for path in compiled:
        for name, unit in asked.items():
            try:
                for function in planned_functions(path, unit):
                    yield Check("placement", "ok", f"{name} {function}")
            except UnsupportedPoint as error:
                yield Check("placement", "warning", f"{name}: {error}")
