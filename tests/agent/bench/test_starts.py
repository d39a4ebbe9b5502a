"""`tidegate bench starts`: what starts is asked until it answers, and what doesn't is a miss that says why."""

from pathlib import Path

from tidegate_bench.starts.bench import configure, start


def test_an_agent_answers_and_one_that_ends_is_a_miss(tmp_path: Path) -> None:
    config = configure(tmp_path)
    answered = start(config)
    assert answered.first_answer_s is not None
    assert answered.cpu_s is not None
    config.write_text(config.read_text().replace("digits", "nowhere"))
    missed = start(config)
    assert (missed.first_answer_s, missed.cpu_s) == (None, None)
    assert missed.log.startswith("it ended with ")
    assert "nowhere" in missed.log
