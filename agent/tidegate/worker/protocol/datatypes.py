"""The protocol's datatypes: how each lies in memory, and what the network gets of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import Array
from tidegate.worker.protocol.refusals import BadRequest, shown

Stored = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Datatype:
    """One datatype. `stored` is little-endian, as the protocol's binary data is; BF16 is stored as UINT16."""

    name: str
    stored: np.dtype[Any]

    @property
    def is_integer(self) -> bool:
        """Whether its values are raw ones, which the bundle's scale turns into what the network takes."""
        return self.name not in {"BF16", "BOOL"} and self.stored.kind in "iu"

    @property
    def bounds(self) -> tuple[int | float, int | float]:
        """Its least and its largest value; those of FP32 for wider ones, as the network computes in FP32."""
        if self.is_integer:
            return int(np.iinfo(self.stored).min), int(np.iinfo(self.stored).max)
        if self.name == "BOOL":
            return 0, 1
        largest = float(np.finfo(np.float16 if self.name == "FP16" else np.float32).max)
        return -largest, largest


DATATYPES = {
    each.name: each
    for each in (
        Datatype("BOOL", np.dtype(np.uint8)),
        *(Datatype(f"UINT{bits}", np.dtype(f"<u{bits // 8}")) for bits in (8, 16, 32, 64)),
        *(Datatype(f"INT{bits}", np.dtype(f"<i{bits // 8}")) for bits in (8, 16, 32, 64)),
        *(Datatype(f"FP{bits}", np.dtype(f"<f{bits // 8}")) for bits in (16, 32, 64)),
        Datatype("BF16", np.dtype("<u2")),
    )
}


def datatype_named(name: str, where: str) -> Datatype:
    """The datatype of that name. Raises BadRequest for BYTES, which holds pictures alone, and for what is none."""
    if (found := DATATYPES.get(name)) is None:
        why = "; the model takes numbers, no text" if name == "BYTES" else ""
        raise BadRequest(f"{where}: found {shown(name)}, allowed are {', '.join(DATATYPES)}{why}")
    return found


def network_values(values: Stored, datatype: Datatype, scale: float, where: str) -> Array:
    """What the network gets of stored values, as float32; FP32 in memory as it came, without a copy.

    Integers are raw and multiplied by `scale`, floats and BOOL are taken as they are. Raises BadRequest for values
    that float32 can't hold and for a BOOL that is neither 0 nor 1.
    """
    if datatype.is_integer:
        return np.multiply(values, np.float32(scale), dtype=np.float32, casting="unsafe")
    if datatype.name == "BOOL":
        if values.max() > 1:
            index = int((values > 1).argmax())
            raise BadRequest(f"{where}: value {index} is {values.flat[index]}; BOOL values are 0 and 1")
        return values.astype(np.float32)
    if datatype.name == "BF16":
        found = (values.astype(np.uint32) << 16).view(np.float32)
    else:
        with np.errstate(over="ignore"):
            found = values.astype(np.float32, copy=False)
    _check_finite(found, datatype, where)
    return found


def _check_finite(values: Array, datatype: Datatype, where: str) -> None:
    # One pass without a temporary; only an infinity, a NaN or an overflow of the sum itself needs the second one.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(values.sum())
    if suspicious and not (finite := np.isfinite(values)).all():
        index = int((~finite).argmax())
        raise BadRequest(
            f"{where}: value {index} is not finite as FP32; {datatype.name} values are finite and at most"
            f" {datatype.bounds[1]:.8g} either way"
        )
