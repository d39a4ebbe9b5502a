"""Counts the architectures that are taken: their graph answers as the model within 0.1 % of the largest answer."""

import warnings
from collections.abc import Callable, Sequence

import torch

from tidegate.calibration.sources.agreement import check_agreement
from tidegate.engines.engine import Array
from tidegate.models.importing.discovery import discover
from tidegate.models.importing.export import in_float32
from tidegate.models.importing.one_output import a_copy, with_one_output
from tidegate_bench.coverage.architectures import Architecture, architectures
from tidegate_bench.figures import Cell, Figures, Goal

GOAL = 0.92
QUICK = frozenset({"resnet18", "convnext_atto", "ViTForImageClassification", "gru"})


def run(*, quick: bool, names: Sequence[str] = (), progress: Callable[[str], None]) -> Figures:
    """Every architecture, or those of the `names`. Raises CoverageUnavailable."""
    wanted = frozenset(names) or (QUICK if quick else frozenset())
    rows = []
    for each in architectures():
        if not wanted or each.name in wanted:
            rows.append(row_of(each))
            progress(f"{each.name}: {rows[-1]['reason'] or 'taken'}")
    return figures_of(rows, whole=not wanted)


def figures_of(rows: Sequence[dict[str, Cell]], *, whole: bool) -> Figures:
    """The share taken, over all and by family; nothing is said of the goal unless the `whole` list was tried."""
    families: dict[Cell, list[bool]] = {}
    for row in rows:
        families.setdefault(row["family"], []).append(bool(row["taken"]))
    goals = [Goal("architectures taken, of the whole list", GOAL, _share(rows) if whole else None)]
    summaries = [
        {"family": family, "architectures": len(taken), "taken": sum(taken), "share": sum(taken) / len(taken)}
        for family, taken in families.items()
    ]
    return Figures("coverage", [*rows, *summaries], goals)


def _share(rows: Sequence[dict[str, Cell]]) -> float:
    return sum(bool(row["taken"]) for row in rows) / len(rows)


def row_of(each: Architecture) -> dict[str, Cell]:
    """Whether an architecture is taken, with its blocks and how far off it is, or with the reason."""
    row: dict[str, Cell] = {"family": each.family, "name": each.name, "taken": False, "blocks": None, "off": None}
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries, about themselves
            blocks, off = _taken(each)
    # Whatever a library's code or an import raises is the reason why an architecture isn't taken.
    except Exception as error:  # noqa: BLE001
        lines = str(error).splitlines() or [type(error).__name__]
        return {**row, "reason": f"{type(error).__name__}: {lines[0][:200]}"}
    return {**row, "taken": True, "blocks": blocks, "off": off, "reason": ""}


def _taken(each: Architecture) -> tuple[int, float]:
    inputs = each.inputs(3)
    model, _ = with_one_output(in_float32(each.make().eval()), inputs, None)

    def answers(asked: Array) -> Array:
        with torch.no_grad():
            found: Array = a_copy(model)(torch.from_numpy(asked).to(inputs.dtype)).numpy()
        return found

    network = discover(model, inputs[:2]).network
    asked = inputs.float().numpy()
    off = check_agreement(network, answers, asked, each.name, "torch", whole=bool(each.words))
    return sum(segment.skippable for segment in network.segments), off
