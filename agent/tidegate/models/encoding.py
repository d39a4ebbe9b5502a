"""What activations take as a bitmap and the values that are not zero: less, when there are enough zeros."""


def encoded_bytes(elements: int, nonzero: int, bits: int) -> int:
    """Bytes of the encoding: bitmap and values, each in whole bytes."""
    return -(-elements // 8) + -(-nonzero * bits // 8)


def dense_bytes(elements: int, bits: int) -> int:
    """Bytes of the same codes packed without a bitmap."""
    return -(-elements * bits // 8)


def stored_bytes(elements: int, nonzero: int, bits: int) -> int:
    """What a value takes that is encoded only where that is smaller: below the break-even it stays dense."""
    return min(dense_bytes(elements, bits), encoded_bytes(elements, nonzero, bits))
