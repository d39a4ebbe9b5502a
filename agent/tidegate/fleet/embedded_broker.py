"""The embedded broker: `tidegate.fleet.embedded_broker CONFIG` serves until its process is ended."""

import logging
import sys

from iotcore import IotCoreBroker


def main() -> None:
    """Serve. The Rust code below can't be told to stop, so whoever wants it stopped ends this process."""
    # It logs every packet, and each as an error.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    IotCoreBroker(config_path=sys.argv[1]).run_forever()


if __name__ == "__main__":
    main()
