"""Labels in the report's pictures: every point is named once, and points in one place share a label."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.calibration.report.page import crowds


def test_points_in_one_place_share_a_label() -> None:
    assert crowds([0.58, 0.05, 0.051, 0.35], [0.995, 0.995, 0.995, 0.985]) == [[0], [1, 2], [3]]
    assert crowds([1.0, 1.0], [0.9, 0.9]) == [[0, 1]]


@given(st.lists(st.tuples(st.floats(0, 1e3), st.floats(0, 1)), min_size=1, max_size=20))
def test_every_point_has_one_label(spots: list[tuple[float, float]]) -> None:
    xs, ys = zip(*spots, strict=True)
    assert sorted(index for group in crowds(xs, ys) for index in group) == list(range(len(spots)))
