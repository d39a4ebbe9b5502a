"""A bundle's ladder as one HTML page with its pictures inside; it loads nothing from anywhere."""

import base64
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np

from tidegate.calibration.data.batches import forward_all
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.report.ladder_table import COLUMNS, cells
from tidegate.calibration.report.memory_table import memory_section
from tidegate.calibration.search.layer_groups import stage_groups_of
from tidegate.calibration.search.search_space import stand_ins_of
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.runtime.registry import installed_engines, open_engine
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.evidence import answers
from tidegate.models.ladder import OperatingPoint, Precision, StandIn

mpl.use("Agg")  # files only; a server has no screen

from matplotlib.axes import Axes
from matplotlib.figure import Figure

MAX_SAMPLES = 200
_SIZE = (7.6, 3.6)
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;font-size:.85rem}
td,th{padding:.2rem .6rem;border-bottom:1px solid #ccc;text-align:right}
td:first-child,th:first-child{text-align:left;position:sticky;left:0;background:#fff}
img{max-width:100%;height:auto}.wide{overflow-x:auto}td,th{white-space:nowrap}dd{overflow-wrap:anywhere}
dt{font-weight:600}dd{margin:0 0 .4rem 0}"""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Share of answers that change when one knob alone is turned, (names, knob values); nan: not there."""

    names: tuple[str, ...]
    knob_values: tuple[str, ...]
    changed: Array


def render(bundle: Bundle) -> str:
    """The page. Runs the bundle's own samples through every point; its figures are those of the ladder file."""
    inputs = bundle.samples().inputs()[:MAX_SAMPLES]
    parts = [
        f"<h1>{html.escape(bundle.model)}</h1>",
        _facts(bundle),
        "<h2>The ladder</h2>",
        _table(bundle.ladder.points),
        *_costs(bundle.ladder.points),
        "<h2>Memory</h2>",
        memory_section(bundle),
        "<h2>What each knob does alone</h2>",
        f"<p>Share of answers that change on {len(inputs)} report-only samples.</p>",
        _picture(_heat_map(sensitivity(bundle, inputs)), "sensitivity heat map"),
        "<h2>Blocks skipped per sample</h2>",
        _picture(_histogram(skip_ratios(bundle, inputs)), "skip histogram"),
    ]
    title = html.escape(f"{bundle.model}: ladder")
    head = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style>"
    )
    return head + "\n".join(parts) + "</html>\n"


def sensitivity(bundle: Bundle, inputs: Array) -> Sensitivity:
    """Every stand-in of every block, and every precision of every group of layers, each with all else full."""
    engine = EagerEngine(bundle)
    reference = forward_all(engine.build(KnobSettings()), inputs).outputs
    full = answers(reference, reference)
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
                changed[i, j] = (answers(outputs, reference) != full).mean()
    return Sensitivity(tuple(rows), tuple(knob_values), changed)


def skip_ratios(bundle: Bundle, inputs: Array) -> dict[str, Array]:
    """Skipped share of blocks of each sample by itself, at every point that skips any and whose engine is here."""
    installed = installed_engines()
    here = [point for point in bundle.ladder.points[1:] if point.engine in installed]
    engines = {name: open_engine(name, bundle) for name in {point.engine for point in here}}
    found = {}
    for point in here:
        variant = engines[point.engine].prepare(point)
        ratios = np.array([variant.run(sample[None]).skip_ratio for sample in inputs], np.float32)
        if ratios.any():
            found[point.name] = ratios
    return found


def _facts(bundle: Bundle) -> str:
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
    rows = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items())
    return f"<dl>{rows}</dl>"


def _table(points: Sequence[OperatingPoint]) -> str:
    head = "".join(f"<th>{column}</th>" for column in COLUMNS)
    rows = (
        "<tr>" + "".join(f"<td>{html.escape(cell.strip('`'))}</td>" for cell in cells(point)) + "</tr>"
        for point in points
    )
    return _scrolling(f"<table><tr>{head}</tr>{''.join(rows)}</table>")


def _scrolling(table: str) -> str:
    """A table that a narrow screen can move without moving the page."""
    return f'<div class="wide">{table}</div>'


def _costs(points: Sequence[OperatingPoint]) -> Iterator[str]:
    figures = [point.figures for point in points]
    kept = [1 - each.disagreement if each.accuracy is None else each.accuracy for each in figures]
    quality = "agreement with the full model" if figures[0].accuracy is None else "accuracy"
    axes = {
        "p50 latency, ms": [each.latency_p50_ms for each in figures],
        "weights resident, KiB": [each.weights_resident_bytes / 1024 for each in figures],
        "operations against full": [each.flops_ratio for each in figures],
    }
    energies = [each.energy_mj for each in figures]
    measured = [energy for energy in energies if energy is not None]
    if len(measured) == len(energies):
        axes["energy, mJ"] = measured
    for label, values in axes.items():
        yield _picture(_scatter(points, label, values, quality, kept), f"{quality} against {label}")
    if len(measured) < len(energies):
        yield "<p>Energy: not measured, as no meter was read when this ladder was made.</p>"


def _scatter(
    points: Sequence[OperatingPoint], label: str, values: Sequence[float], quality: str, kept: Sequence[float]
) -> Figure:
    figure, axes = _figure()
    axes.plot(values, kept, "o-", color="#1f6f8b")
    for group in crowds(values, kept):
        numbers = ", ".join(str(index + 1) for index in group)
        spot = (values[group[0]], kept[group[0]])
        axes.annotate(numbers, spot, xytext=(4, 4), textcoords="offset points", fontsize=8)
    axes.margins(0.08, 0.12)
    # Beside the picture: names at the points would cover each other and run over its edge.
    names = [f"{number} {point.name}" for number, point in enumerate(points, start=1)]
    nothing = [axes.plot([], [], " ")[0] for _ in names]
    figure.legend(nothing, names, loc="outside right upper", fontsize=7, handlelength=0, handletextpad=0)
    axes.set_xlabel(label)
    axes.set_ylabel(quality)
    axes.grid(alpha=0.3)
    return figure


def crowds(xs: Sequence[float], ys: Sequence[float], near: float = 0.08) -> list[list[int]]:
    """Indices of points so close in a picture that one label does for them; `near` is a share of its sides."""
    span_x, span_y = (max(each) - min(each) or 1.0 for each in (xs, ys))
    groups: list[list[int]] = []
    for index, (x, y) in enumerate(zip(xs, ys, strict=True)):
        for group in groups:
            first = group[0]
            if abs(xs[first] - x) <= near * span_x and abs(ys[first] - y) <= near * span_y:
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


def _heat_map(found: Sensitivity) -> Figure:
    figure, axes = _figure(height=0.28 * len(found.names) + 1.5)
    shown = axes.imshow(found.changed, aspect="auto", cmap="viridis", vmin=0)
    axes.set_xticks(range(len(found.knob_values)), found.knob_values, rotation=30, ha="right", fontsize=7)
    axes.set_yticks(range(len(found.names)), found.names, fontsize=7)
    for (i, j), value in np.ndenumerate(found.changed):
        if np.isfinite(value):
            colour = "black" if value > 0.6 * np.nanmax(found.changed) else "white"
            axes.text(j, i, f"{value:.1%}", ha="center", va="center", fontsize=6, color=colour)
    figure.colorbar(shown, label="answers changed")
    return figure


def _histogram(ratios: dict[str, Array]) -> Figure:
    figure, axes = _figure()
    bins = np.linspace(0, 1, 21)
    for name, values in ratios.items():
        axes.hist(values, bins=bins.tolist(), histtype="step", label=name)
    axes.set_xlabel("share of blocks skipped")
    axes.set_ylabel("samples")
    if ratios:
        axes.legend(fontsize=7)
    return figure


def _figure(height: float = _SIZE[1]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_SIZE[0], height), layout="constrained")
    return figure, figure.add_subplot()


def _picture(figure: Figure, caption: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<p><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}"></p>'
