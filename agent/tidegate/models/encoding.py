"""Activations as a bitmap and the values that are not zero: lossless, and small when there are enough zeros."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Encoded:
    """`elements` codes of `bits` bits: one bitmap bit each, then the non-zero codes packed one after the other."""

    elements: int
    bits: int
    bitmap: bytes
    values: bytes

    @property
    def nbytes(self) -> int:
        """Bytes held; equals `encoded_bytes` of what was encoded."""
        return len(self.bitmap) + len(self.values)


def encode(codes: Codes, bits: int) -> Encoded:
    """Codes (n,) below 2^bits. Raises ValueError for bits outside 1..32 or codes that don't fit."""
    if not 1 <= bits <= 32:
        raise ValueError(f"{bits} bits: allowed are 1 to 32")
    if len(codes) and int(codes.max()) >> bits:
        raise ValueError(f"a code of {int(codes.max())} doesn't fit in {bits} bits")
    present = codes != 0
    planes = (codes[present, None] >> np.arange(bits, dtype=np.uint32)) & 1
    packed = np.packbits(planes.astype(np.uint8))
    return Encoded(len(codes), bits, np.packbits(present).tobytes(), packed.tobytes())


def decode(encoded: Encoded) -> Codes:
    """The codes that were encoded."""
    bits = encoded.bits
    present = np.unpackbits(np.frombuffer(encoded.bitmap, np.uint8), count=encoded.elements).astype(bool)
    count = int(present.sum())
    planes = np.unpackbits(np.frombuffer(encoded.values, np.uint8), count=count * bits).reshape(count, bits)
    codes = np.zeros(encoded.elements, np.uint32)
    codes[present] = (planes.astype(np.uint64) << np.arange(bits, dtype=np.uint64)).sum(1)
    return codes


def encoded_bytes(elements: int, nonzero: int, bits: int) -> int:
    """Bytes of the encoding: bitmap and values, each in whole bytes."""
    return -(-elements // 8) + -(-nonzero * bits // 8)


def dense_bytes(elements: int, bits: int) -> int:
    """Bytes of the same codes packed without a bitmap."""
    return -(-elements * bits // 8)


def stored_bytes(elements: int, nonzero: int, bits: int) -> int:
    """What a value takes that is encoded only where that is smaller: below the break-even it stays dense."""
    return min(dense_bytes(elements, bits), encoded_bytes(elements, nonzero, bits))


def break_even_sparsity(bits: int) -> float:
    """The share of zeros at which the bitmap pays for itself; the saving is (share - this) of the dense bytes."""
    return 1 / bits
