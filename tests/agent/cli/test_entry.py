"""Which command lines are the service's own start."""

import pytest

from tidegate.cli.entry import service_asked


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        (["run"], ()),
        (["run", "--config", "/etc/a.yaml"], ("/etc/a.yaml",)),
        (["run", "--config"], None),
        (["run", "--config", "--help"], None),
        (["run", "--config=a.yaml"], None),
        (["run", "--help"], None),
        (["run", "a.yaml"], None),
        (["run", "--config", "a.yaml", "more"], None),
        (["status"], None),
        ([], None),
    ],
)
def test_only_a_plain_run_skips_the_command_line(arguments: list[str], config: tuple[str, ...] | None) -> None:
    assert service_asked(arguments) == config
