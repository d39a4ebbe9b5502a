"""What the engine `mlx` takes with all it loads, in a process of its own: resident bytes on standard output."""

import sys

import psutil

import tidegate.engines.mlx.engine  # noqa: F401 - what it loads is what is measured


def main() -> None:
    """Print them."""
    sys.stdout.write(str(psutil.Process().memory_info().rss))


if __name__ == "__main__":
    main()
