"""tidegate: keeps neural networks answering on devices that run on batteries and get hot.

Without the service, in one's own process: `build` makes a certified ladder, `Runner` answers along a ladder,
`certify` counts a ladder's certificates on one's own inputs, `simulate` plays a policy, `open_bundle` opens what
`tidegate bundle build` has made. They are loaded when they are first used: importing this package costs next to
nothing.
"""

import os
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.api.building import build
    from tidegate.api.certifying import certify
    from tidegate.api.opened import open_bundle
    from tidegate.api.runner import Runner
    from tidegate.api.simulating import simulate

__all__ = ["Runner", "build", "certify", "open_bundle", "simulate"]

__version__ = "0.2.0"
RELEASED = datetime(2026, 11, 28, tzinfo=UTC)
"""No device runs this before it was written, whatever its clock says."""

# From 1.29 on ONNX Runtime writes a device id and events under ~/.cache and sends them, unless it finds this when
# it is imported. Whatever of ours a process imports comes after this line, and so does a user's model.
# Set whatever it was before: tidegate sends to the broker that agent.yaml names and to nobody else.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_MODULES = {
    "Runner": "api.runner",
    "build": "api.building",
    "certify": "api.certifying",
    "open_bundle": "api.opened",
    "simulate": "api.simulating",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
