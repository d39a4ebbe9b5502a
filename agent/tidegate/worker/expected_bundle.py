"""The bundle that the supervisor has opened, and no other: its certificates are what every reply carries."""

from pathlib import Path

from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.errors import BundleError


class OtherBundle(BundleError):  # noqa: N818 - reads as what it is at the call site
    """The directory holds another bundle by now, whose hash is `found`."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"{path}: holds another bundle by now (sha256 {found[:12]}...) than was opened ({expected[:12]}...)"
        )
        self.found = found


def open_expected(path: Path, sha256: str | None) -> Bundle:
    """The bundle whose hash that is; None takes any. Raises BundleError, OtherBundle for another one."""
    bundle = open_bundle(path)
    if sha256 is not None and bundle.sha256 != sha256:
        raise OtherBundle(path, sha256, bundle.sha256)
    return bundle
