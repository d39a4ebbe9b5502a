"""A bundle: a model with its ladder, as one directory of plain data."""

from tidegate.models.bundle.bundle import Bundle
from tidegate.models.bundle.opening import MAX_BUNDLE_BYTES, open_bundle

__all__ = ["MAX_BUNDLE_BYTES", "Bundle", "open_bundle"]
