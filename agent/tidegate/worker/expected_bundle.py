"""The bundle that the supervisor has opened, and no other: its certificates are what every reply carries."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.errors import BundleError
from tidegate.models.ladder import Certificate, Ladder


class OtherBundle(BundleError):  # noqa: N818 - reads as what it is at the call site
    """The directory holds another bundle by now, whose hash is `found`."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"{path}: holds another bundle by now (sha256 {found[:12]}...) than was opened ({expected[:12]}...)"
        )
        self.found = found


def open_expected(path: Path, sha256: str | None, certificates_fd: int | None = None) -> Bundle:
    """The bundle whose hash that is; None takes any. Raises BundleError, OtherBundle for another one.

    `certificates_fd` holds certificates by point that count in the place of the bundle's own.
    """
    bundle = open_bundle(path)
    if sha256 is not None and bundle.sha256 != sha256:
        raise OtherBundle(path, sha256, bundle.sha256)
    if certificates_fd is None:
        return bundle
    with open(certificates_fd, "rb") as file:  # noqa: PTH123 - it has no path
        held = _certificates().validate_json(file.read())
    points = tuple(replace(point, certificate=held.get(point.name)) for point in bundle.ladder.points)
    return replace(bundle, ladder=Ladder(points))


@cache
def _certificates() -> TypeAdapter[dict[str, Certificate]]:
    return TypeAdapter(dict[str, Certificate])
