"""The report's pictures: where samples leave, and which points stand where."""

from dataclasses import replace

import numpy as np

from tidegate.calibration.report.page import Sensitivity, _costs, _heat_map, places_left, spots_of
from tidegate.models.ladder import Certificate, Figures, OperatingPoint, Risk

BLOCKS = ("a", "b", "c", "d")


def point(name: str, alpha: float | None, latency_ms: float, accuracy: float | None = 0.9) -> OperatingPoint:
    certificate = None if alpha is None else Certificate(Risk.NEWLY_WRONG, alpha, 0.05, 1000, 0)
    figures = Figures(100, accuracy, 0.0, 0.02, 0.0, 1.0, latency_ms, latency_ms, 1)
    return OperatingPoint(name, "eager" if name == "full" else "onnx", figures, certificate)


def leaving(run: list[int], **knobs: object) -> dict[str, float]:
    figures = Figures(100, 0.9, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1)
    return places_left(OperatingPoint("p", "onnx", figures, **knobs), BLOCKS, np.array(run, np.float32))  # type: ignore[arg-type]  # knobs by name


def test_samples_leave_before_the_block_of_their_exit() -> None:
    found = leaving([1, 1, 3, 4], exits={"b": 0.5, "d": 0.5})
    assert found == {"before b": 0.5, "before d": 0.25, "at the end": 0.25}


def test_skipped_blocks_do_not_move_an_exit() -> None:
    assert leaving([1, 3], exits={"c": 0.5}, skip=frozenset({"a"})) == {"before c": 0.5, "at the end": 0.5}


def test_exits_that_can_not_be_told_apart_are_both_named() -> None:
    found = leaving([1, 3], exits={"b": 0.5, "c": 0.5}, skip=frozenset({"b"}))
    assert found == {"before b, c": 0.5, "at the end": 0.5}


def test_gates_are_told_by_how_many_blocks_ran() -> None:
    found = leaving([2, 4, 4, 0], thresholds={"b": 0.1, "c": 0.2})
    assert found == {"0 of 4 blocks": 0.25, "2 of 4 blocks": 0.25, "4 of 4 blocks": 0.5}


def test_points_stand_at_their_costs_with_what_is_certified_of_them() -> None:
    points = [point("full", 0.0, 4.0, 0.95), point("int8", 0.01, 2.0), point("skip", None, 1.0)]
    found = spots_of(points, [4.0, None, 1.0])
    assert [(spot.name, spot.series, spot.least, spot.chosen) for spot in found] == [
        ("full", "any engine", None, True),
        ("skip", "onnx", None, False),
    ]
    [_, int8, _] = spots_of(points, [4.0, 2.0, 1.0])
    assert int8.least is not None
    assert (int8.y, round(int8.least, 9), int8.chosen) == (0.9, 0.94, True)


def test_without_labels_it_is_the_agreement_that_is_drawn() -> None:
    points = [point("full", 0.0, 4.0, None), point("int8", 0.05, 2.0, None)]
    assert [(spot.y, spot.least) for spot in spots_of(points, [4.0, 2.0])] == [(0.98, None), (0.98, 0.95)]


def test_energy_is_drawn_where_it_was_measured_and_told_where_not() -> None:
    def drawn(*energies_mj: float | None) -> tuple[int, str]:
        points = [point(name, 0.05, 2.0) for name in ("full", "int8")]
        points = [
            replace(each, figures=replace(each.figures, energy_mj=energy))
            for each, energy in zip(points, energies_mj, strict=True)
        ]
        elements = list(_costs(points))
        pictures = [picture for each in elements for picture in each.iter("svg")]
        return len(pictures), " ".join(each.text or "" for each in elements)

    assert drawn(None, None)[0] == 3
    assert "The energy of an answer was not measured, as no meter was read." in drawn(None, None)[1]
    assert drawn(2.0, None)[0] == drawn(2.0, 1.0)[0] == 4
    assert "The energy of an answer of int8 was not measured" in drawn(2.0, None)[1]
    assert "was not measured" not in drawn(2.0, 1.0)[1]


def test_the_knob_that_changes_most_is_darkest_and_what_is_not_there_is_said() -> None:
    changed = np.array([[0.0, 0.1], [0.2, np.nan]], np.float32)
    drawn = _heat_map(Sensitivity(("a", "b"), ("skip", "int8"), changed))
    cells = [(cell.text, cell.get("class")) for cell in drawn.iter("td") if cell.get("class")]
    assert cells == [("0.0%", "heat-0"), ("10.0%", "heat-5"), ("20.0%", "heat-10"), ("not there", "muted")]
