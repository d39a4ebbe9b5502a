"""Where the `tidegate` command begins: the service goes straight to its own process."""

import sys
from collections.abc import Sequence

from tidegate.cli.become_service import become_service
from tidegate.errors import BY_SIGINT


def service_asked(arguments: Sequence[str]) -> tuple[str, ...] | None:
    """What a plain `run` names as its agent.yaml, empty for the default; None for everything else."""
    match arguments:
        case ["run"]:
            return ()
        case ["run", "--config", config] if not config.startswith("-"):
            return (config,)
        case _:
            return None


def main() -> None:
    """Entry point of the `tidegate` command."""
    if (config := service_asked(sys.argv[1:])) is not None:
        become_service(*config)
    try:
        from tidegate.cli.main import main as command_line  # noqa: PLC0415 - its libraries cost a service's start

        command_line()
    except KeyboardInterrupt:
        # While its libraries were loaded; later typer ends it so by itself.
        sys.exit(BY_SIGINT)


if __name__ == "__main__":
    main()
