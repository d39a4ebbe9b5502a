"""The five lines that a demo ends with."""

from dataclasses import replace

from tidegate.cli.demo_summary import Saved, summary_lines
from tidegate.demo.run import Summary

RUN = Summary(60.0, "127.0.0.1:1883", 1483, 0, 0, 0.9931, 14, ("full", "int8"), 0, 1, 120, 120, 0, 0, ("battery",))


def test_they_fit_any_terminal() -> None:
    for width in (40, 80, 200):
        lines = summary_lines(RUN, Saved(51.7, 61.4), width)
        assert max(map(len, lines)) <= width
        assert " ".join(" ".join(lines).split()).startswith(
            "answers 1,483 given, 0 failed, in 60 s right 99.3% of"
        )
    assert len(summary_lines(RUN, Saved(51.7, 61.4), 200)) == 5


def test_what_was_not_counted_is_no_nought() -> None:
    alone = replace(RUN, broker=None, telemetry_published=None, telemetry_lost=None, accuracy=None)
    assert summary_lines(alone, None, 80) == [
        "answers    1,483 given, 0 failed, in 60 s",
        "right      not counted",
        "switches   14, over 2 operating points; 1 policy pushed to it; no worker ended",
        "telemetry  no broker, so nothing was sent",
    ]
    lost = replace(RUN, telemetry_published=None, worker_restarts=2, policy_pushes_applied=0, requests_retried=3)
    told = " ".join(summary_lines(lost, None, 200))
    assert "3 asked again" in told
    assert "0 policies pushed to it; 2 workers ended" in told
    assert "how much arrived was not counted" in told
