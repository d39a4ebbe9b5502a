"""What a count on inputs of a place came to, as a statement that can be signed: which bundle, on what, where."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.bundle.bundle import Bundle
from tidegate.models.ladder import Certificate, Ladder, Risk
from tidegate.validation_words import in_words

PAYLOAD_TYPE = "application/vnd.tidegate.certificate+json"
MAX_BYTES = 1 << 20
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class StatementError(TidegateError, ValueError):
    """A statement can't be read, or isn't about this bundle; the message says why."""

    exit_code = EX_DATAERR


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PointStatement(_Strict):
    """One point: with confidence 1 - delta at most `alpha` of tries fail; `failures` of `n` did.

    `disagreed` of them had an answer apart from the full model's; None where that was not written down.
    """

    name: str
    alpha: Share
    risk: Risk
    n: Count
    failures: Count
    disagreed: Count | None = None


class Statement(_Strict):
    """All points of a bundle that hold on inputs of a place, with `clip` frames to a try and `labelled` labels.

    `placement` is the runtime of each of the `engines`, its compute unit and versions: with others the count is
    made again. Where a `device` is named, no other one goes by it.
    """

    tidegate_certificate: Literal[1] = 1
    model: str
    bundle_sha256: Sha256
    data: str
    data_sha256: Sha256
    inputs: Count
    clip: Annotated[int, Field(ge=1)]
    labelled: Count
    delta: Share
    engines: tuple[str, ...]
    placement: str
    counted_at: AwareDatetime
    points: tuple[PointStatement, ...]
    device: str | None = None

    def to_payload(self) -> bytes:
        """For signing; without a device as earlier releases write it, which refuse keys that they don't know."""
        return self.model_dump_json(exclude={"device"} if self.device is None else None).encode()

    def check_device(self, device: str) -> None:
        """Raises StatementError where it is another device's."""
        if self.device not in {None, device}:
            raise StatementError(
                f"the certificate is the device {self.device}'s, this is {device}; count on what this one sees"
            )

    def check(self, bundle: Bundle) -> None:
        """Raises StatementError where it is about another bundle."""
        if self.bundle_sha256 != bundle.sha256:
            raise StatementError(
                f"{bundle.path}: the certificate is for a bundle of SHA-256 {self.bundle_sha256[:12]}..., this "
                f"one has {bundle.sha256[:12]}...; count again on this one with `tidegate bundle certify`"
            )

    def certificates(self) -> Mapping[str, Certificate]:
        """Of the points that hold, by name."""
        return {
            each.name: Certificate(each.risk, each.alpha, self.delta, each.n, each.failures, each.disagreed)
            for each in self.points
        }

    def ladder(self, ladder: Ladder) -> Ladder:
        """The bundle's ladder with these certificates alone: a point without one promises nothing."""
        held = self.certificates()
        return Ladder(tuple(replace(point, certificate=held.get(point.name)) for point in ladder.points))


def statement_of(
    bundle: Bundle,
    certificates: Mapping[str, Certificate],
    *,
    data: str,
    data_sha256: str,
    inputs: int,
    clip: int,
    labelled: int,
    delta: float,
    engines: tuple[str, ...],
    placement: str,
    counted_at: AwareDatetime,
    device: str | None = None,
) -> Statement:
    """Of a count on so many inputs; `certificates` are those of the points that hold, by name."""
    return Statement(
        model=bundle.model,
        bundle_sha256=bundle.sha256,
        data=data,
        data_sha256=data_sha256,
        inputs=inputs,
        clip=clip,
        labelled=labelled,
        delta=delta,
        engines=engines,
        placement=placement,
        counted_at=counted_at,
        device=device,
        points=tuple(
            PointStatement(
                name=name,
                alpha=held.alpha,
                risk=held.risk,
                n=held.n,
                failures=held.failures,
                disagreed=held.disagreed,
            )
            for name, held in certificates.items()
        ),
    )


def read_statement(payload: bytes, where: str) -> Statement:
    """Raises StatementError."""
    try:
        return Statement.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "whole document"
        raise StatementError(
            f"{where}, at {place}: {in_words(first['msg'])}; needed is what `bundle certify --key` writes"
        ) from None
