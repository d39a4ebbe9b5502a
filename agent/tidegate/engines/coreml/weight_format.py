"""In which forms a package holds weights and computes; each is a package of its own, for the device to choose."""

from enum import StrEnum

from tidegate.models.ladder import Precision


class WeightFormat(StrEnum):
    """`fp32` and `fp16` widen what a point rounds; the others compute in fp16.

    `int8` and `int4` hold codes, those of four bits as an index into sixteen values a channel. `w8a8` holds int8
    codes and rounds what layers read to 8 bits, by the ranges of points that were certified so.
    """

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    INT4 = "int4"
    W8A8 = "w8a8"

    @property
    def is_wide(self) -> bool:
        """Whether it computes in fp32."""
        return self is WeightFormat.FP32

    def held(self, precision: Precision) -> Precision:
        """In which precision it holds the weights of a layer that a point keeps in `precision`."""
        codes = {Precision.INT8, Precision.INT4}
        if self in {WeightFormat.FP32, WeightFormat.FP16} or precision not in codes:
            return Precision.FP32
        return precision if self is WeightFormat.INT4 else Precision.INT8
