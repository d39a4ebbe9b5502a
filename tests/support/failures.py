"""How many failures a certificate may have."""

from tidegate.models.exact_test import holds


def failures_allowed(n: int, alpha: float, delta: float) -> int | None:
    """The most failures in n that still certify alpha at confidence 1 - delta; None when not even 0 does."""
    allowed = None
    for count in range(n + 1):
        if not holds(count, n, alpha, delta):
            break
        allowed = count
    return allowed
