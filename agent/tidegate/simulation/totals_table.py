"""What simulated days came to, as rows of a table: one column for each run."""

from collections.abc import Sequence

from tidegate.simulation.run import Run


def totals_rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """A name and a cell for each run in every row."""
    totals = [run.totals for run in runs]
    rows = {
        "asked": [f"{each.asked:.0f}" for each in totals],
        "answered": [f"{each.answered:.0f}" for each in totals],
        "right answers": [f"{each.correct:.0f}" for each in totals],
        "right, within goals": [f"{each.correct_within:.0f}" for each in totals],
        "energy, Wh": [f"{each.energy_j / 3600:.1f}" for each in totals],
        "switches": [str(each.switches) for each in totals],
        "too hot, s": [str(each.over_temperature_s) for each in totals],
        "too slow, s": [str(each.over_latency_s) for each in totals],
        "over the energy budget, s": [str(each.over_energy_s) for each in totals],
        "battery empty, s": [str(each.dead_s) for each in totals],
        "- of these too early": [str(each.dead_early_s) for each in totals],
        "throttled, s": [str(each.throttled_s) for each in totals],
        "power lost, times": [str(each.brown_outs) for each in totals],
    }
    return [(name, *cells) for name, cells in rows.items()]
