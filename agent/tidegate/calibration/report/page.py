"""A bundle's ladder as one HTML page with its pictures inside; it loads nothing from anywhere."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tidegate.calibration.data.passes import forward_all
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.report.ladder_table import COLUMNS, cells
from tidegate.calibration.report.memory_table import memory_section
from tidegate.calibration.search.layer_groups import stage_groups_of
from tidegate.calibration.search.search_space import stand_ins_of
from tidegate.drawing.bars import stacked
from tidegate.drawing.markup import Element, document, element, figure, table
from tidegate.drawing.scatter import Spot, scatter
from tidegate.engines.engine import REFERENCE, Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.runtime.installed import installed_engines
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import Bundle
from tidegate.models.comparing import answers
from tidegate.models.ladder import OperatingPoint, Precision, StandIn

MAX_SAMPLES = 200


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Share of answers that change when one knob alone is turned, (names, knob values); nan: not there."""

    names: tuple[str, ...]
    knob_values: tuple[str, ...]
    changed: Array


def render(bundle: Bundle) -> str:
    """The page. Runs the bundle's own samples through every point; its figures are those of the ladder file."""
    inputs = bundle.samples().inputs()[:MAX_SAMPLES]
    points = bundle.ladder.points
    changed = f"Share of answers that change on {len(inputs)} report-only samples."
    parts = [
        _facts(bundle),
        element("h2", "The ladder"),
        table(COLUMNS, [[cell.strip("`") for cell in cells(point)] for point in points]),
        *_costs(points),
        element("h2", "Memory"),
        *memory_section(bundle),
        element("h2", "What each knob does alone"),
        figure(changed, _heat_map(sensitivity(bundle, inputs))),
        element("h2", "Where samples leave"),
        *_leaving(bundle, inputs),
    ]
    return document(f"{bundle.model}: ladder", parts)


def sensitivity(bundle: Bundle, inputs: Array) -> Sensitivity:
    """Every stand-in of every block, and every precision of every group of layers, each with all else full."""
    engine = EagerEngine(bundle)
    reference = forward_all(engine.build(KnobSettings()), inputs).outputs
    comparison = bundle.calibration.comparison
    full = answers(comparison, reference, reference)
    precisions = [Precision.BF16, Precision.INT8, Precision.INT4]
    knob_values = [*(f"skip, {kind}" for kind in StandIn), *(f"weights {precision}" for precision in precisions)]
    rows: dict[str, dict[str, KnobSettings]] = {
        block: {f"skip, {kind}": KnobSettings().with_rate(block, 1.0, 0.0, kind) for kind in kinds}
        for block, kinds in stand_ins_of(bundle).items()
    }
    for group in stage_groups_of(bundle):
        settings = {
            f"weights {precision}": KnobSettings().with_precision(group, precision) for precision in precisions
        }
        rows[f"layers: {group.name}"] = settings
    changed = np.full((len(rows), len(knob_values)), np.nan, np.float32)
    for i, settings in enumerate(rows.values()):
        for j, value in enumerate(knob_values):
            if value in settings:
                outputs = forward_all(engine.build(settings[value]), inputs).outputs
                changed[i, j] = (answers(comparison, reference, outputs) != full).mean()
    return Sensitivity(tuple(rows), tuple(knob_values), changed)


def blocks_run(bundle: Bundle, inputs: Array) -> dict[str, Array]:
    """Blocks that each sample by itself had run, at every point that skips any and whose engine is here."""
    installed = installed_engines()
    here = [point for point in bundle.ladder.points[1:] if point.engine in installed]
    engines = {name: open_engine(name, bundle) for name in {point.engine for point in here}}
    found = {}
    for point in here:
        variant = engines[point.engine].prepare(point)
        run = [variant.run(sample[None]) for sample in inputs]
        if any(each.skipped_blocks for each in run):
            found[point.name] = np.array([each.executed_blocks for each in run], np.float32)
    return found


def places_left(point: OperatingPoint, blocks: Sequence[str], run: Array) -> dict[str, float]:
    """Shares of samples by where they left, in the network's order; by how many blocks ran where gates decide.

    Between two exits runs at least one block, or nobody can tell them apart and both are named.
    """
    if not point.exits or point.thresholds:
        counts = Counter(int(count) for count in run)
        return {f"{count} of {len(blocks)} blocks": counts[count] / len(run) for count in sorted(counts)}
    names: dict[int, str] = {}
    before = 0
    for block in blocks:
        if block in point.exits:
            names[before] = f"{names[before]}, {block}" if before in names else f"before {block}"
        before += block not in point.skip
    names.setdefault(before, "at the end")
    left = Counter(names.get(int(count), f"after {int(count)} blocks") for count in run)
    order = list(dict.fromkeys((*names.values(), *left)))
    return {name: left[name] / len(run) for name in order if left[name]}


def _leaving(bundle: Bundle, inputs: Array) -> Iterator[Element]:
    found = blocks_run(bundle, inputs)
    if not found:
        yield element("p", "No point that runs here skips a block or lets a sample leave.")
        return
    points = {point.name: point for point in bundle.ladder.points}
    rows = {name: places_left(points[name], bundle.blocks, run) for name, run in found.items()}
    caption = f"How far each of {len(inputs)} report-only samples got before it had its answer."
    yield figure(caption, stacked(rows, "share of samples"))


def _facts(bundle: Bundle) -> Element:
    calibration = bundle.calibration
    facts = {
        "Certified": f"{calibration.failure}, in at most the stated share of inputs like those certified on, "
        f"all points at once, with confidence {1 - calibration.delta:.0%}",
        "Not promised": "other data, single classes, other engines, time and energy",
        "Data": f"{calibration.data}, "
        + ", ".join(f"{name} {n} ({calibration.parts[name][:12]})" for name, n in bundle.built.parts.items()),
        "Built with": f"{bundle.built.command}, torch {calibration.torch}",
        "Measured on": calibration.measured_on,
        "Bundle": bundle.sha256,
    }
    return element(
        "dl", *(part for name, text in facts.items() for part in (element("dt", name), element("dd", text)))
    )


def _costs(points: Sequence[OperatingPoint]) -> Iterator[Element]:
    figures = [point.figures for point in points]
    costs: dict[str, list[float | None]] = {
        "p50 latency, ms": [each.latency_p50_ms for each in figures],
        "energy of an answer, mJ": [each.energy_mj for each in figures],
        "weights resident, KiB": [each.weights_resident_bytes / 1024 for each in figures],
        "operations, share of full": [each.flops_ratio for each in figures],
    }
    quality = "agreement with the full model" if figures[0].accuracy is None else "accuracy"
    yield element(
        "p",
        "A bar reaches from what was measured down to what is certified; a point without one has no certificate. "
        "Ringed are full, where a policy without rules stays, and the cheapest point that is certified.",
    )
    for label, values in costs.items():
        spots = spots_of(points, values)
        if spots:
            yield figure(f"{quality.capitalize()} against {label}.", scatter(spots, label, quality))
        missing = [point.name for point, value in zip(points, values, strict=True) if value is None]
        if missing:
            which = "" if len(missing) == len(points) else f" of {', '.join(missing)}"
            yield element("p", f"The {label.partition(',')[0]}{which} was not measured, as no meter was read.")


def spots_of(points: Sequence[OperatingPoint], values: Sequence[float | None]) -> list[Spot]:
    """The points at their costs, by what runs them, with the least that their certificates leave of quality."""
    full = points[0].figures
    best = 1.0 if full.accuracy is None else full.accuracy
    certified = [point for point in points if point.certified_risk is not None]
    cheapest = min(certified, key=lambda point: point.figures.busy_ms, default=points[0])
    return [
        Spot(
            point.name,
            "any engine" if point.engine == REFERENCE else point.engine,
            value,
            1 - point.figures.disagreement if point.figures.accuracy is None else point.figures.accuracy,
            None if not point.certified_risk else best - point.certified_risk,
            point.name in {points[0].name, cheapest.name},
        )
        for point, value in zip(points, values, strict=True)
        if value is not None
    ]


def _heat_map(found: Sensitivity) -> Element:
    most = float(np.nanmax(found.changed)) if np.isfinite(found.changed).any() else 0.0
    rows: list[list[str | Element]] = [
        [name, *(_heat(float(value), most) for value in found.changed[index])]
        for index, name in enumerate(found.names)
    ]
    return table(("turned alone", *found.knob_values), rows)


def _heat(value: float, most: float) -> Element:
    if not np.isfinite(value):
        return element("td", "not there", class_="muted")
    share = value / most if most else 0.0
    return element("td", f"{value:.1%}", class_=f"heat-{round(10 * share)}")
