"""Whether Frigate can be answered by what is installed."""

from importlib.util import find_spec


def lacking_for_frigate() -> str | None:
    """What is missing and how to get it; None where nothing is."""
    if find_spec("zmq") is not None:
        return None
    way_out = (
        "install it with `pip install 'tidegate[frigate]'`, for a service with "
        "`./install.sh service --extras frigate`, or take `frigate` out of agent.yaml"
    )
    return f"the package pyzmq is missing; {way_out}"
