"""The embedded broker: `python -m agent.fleet.embedded_broker CONFIG` serves until its stdin closes."""

import logging
import os
import sys
import threading

from iotcore import IotCoreBroker


def main() -> None:
    """Serve. The Rust code below can't be told to stop, so whoever wants it stopped ends this process."""
    # It logs every packet, and each as an error.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    IotCoreBroker(config_path=sys.argv[1]).run_forever()


def _end_with_stdin() -> None:
    try:
        sys.stdin.buffer.read()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
