"""The five memory figures of every point of a bundle, as a table. They answer different questions."""

from collections.abc import Iterator

from tidegate.drawing.markup import Element, element, table
from tidegate.engines.runtime.held_process import measure_process
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.manifest import WEIGHTS
from tidegate.models.ladder import OperatingPoint

COLUMNS = (
    "point",
    "weights on disk",
    "weights resident",
    "live activations, dense",
    "live activations, encoded",
    "process RSS",
    "process PSS",
)

_NOTE = """On disk there is one file of fp32 weights, from which every point is made. Resident are the tensors that
the engine of a point holds. Live activations are those in memory at once for one input, in the worst case: the
largest over the inputs, with every gate open and nobody leaving early. Encoded, each is a bitmap and its non-zero
values where that is smaller: bytes at rest, as kernels compute on dense tensors and no process shows that saving.
The processes were started for this page, here, one for each point, libraries included."""


def memory_section(bundle: Bundle) -> tuple[Element, Element]:
    """What the columns mean, and the table. Starts a process for every point."""
    disk = (bundle.path / WEIGHTS).stat().st_size
    rows = [list(_cells(bundle, point, disk)) for point in bundle.ladder.points]
    return element("p", _NOTE), table(COLUMNS, rows)


def _cells(bundle: Bundle, point: OperatingPoint, disk: int) -> Iterator[str]:
    figures, held = point.figures, measure_process(bundle.path, point.name)
    yield point.name
    for size in (
        disk,
        figures.weights_resident_bytes,
        figures.peak_live_dense_bytes,
        figures.peak_live_encoded_bytes,
        None if held is None else held.rss_bytes,
        None if held is None else held.pss_bytes,
    ):
        yield _size(size)


def _size(size: int | None) -> str:
    if size is None:
        return "not measured"
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 1024:,.1f} KiB"
