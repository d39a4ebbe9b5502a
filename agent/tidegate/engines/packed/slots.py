"""Where one pass keeps its values."""

from collections.abc import Callable
from typing import Any

Values = list[Any]
"""One pass's tensors by slot, None before they are computed and after their last reader; the last entry is the
number of samples."""

Run = Callable[[Values], None]
