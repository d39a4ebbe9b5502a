"""A process that takes memory for a while: MEGABYTES and SECONDS."""

import sys
import time


def main() -> None:
    """Take it, touch every page of it, and hold it."""
    held = bytearray(int(sys.argv[1]) << 20)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(float(sys.argv[2]))


if __name__ == "__main__":
    main()
