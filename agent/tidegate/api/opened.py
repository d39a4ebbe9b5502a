"""Bundles, policies and inputs as callers have them: opened already or where they lie, raw or scaled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from tidegate.boards import find_profile
from tidegate.documents import parse, read
from tidegate.engines.engine import Array
from tidegate.errors import EX_USAGE, TidegateError
from tidegate.models.bundle import Bundle
from tidegate.models.bundle import open_bundle as open_directory
from tidegate.models.graph.row_numbers import RowNumbers
from tidegate.policy.policy import Policy
from tidegate.policy.schema import load_layers


class InputsError(TidegateError, ValueError):
    """Arrays that the network doesn't take; the message says what it takes."""

    exit_code = EX_USAGE


def open_bundle(path: Path | str) -> Bundle:
    """A bundle's directory, checked; tensors are read when they are asked for. Raises BundleError."""
    return open_directory(Path(path))


def opened_bundle(bundle: Bundle | Path | str) -> Bundle:
    """Raises BundleError."""
    return bundle if isinstance(bundle, Bundle) else open_bundle(bundle)


def opened_policy(policy: Policy | Path | str, board: str | None = None) -> Policy:
    """Over the values of a board's profile where one is named. Raises DocumentError."""
    if isinstance(policy, Policy):
        return policy
    profile = None if board is None else find_profile(board).board
    return load_layers(parse(read(Path(policy)), str(policy)), profile, []).policy


@dataclass(frozen=True, slots=True)
class NetworkInputs:
    """What a network takes: `shape` of a sample, `scale` of raw numbers, and `rows` of tables that values pick."""

    shape: tuple[int, ...]
    scale: float
    rows: RowNumbers | None

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Of a bundle's network."""
        rows = RowNumbers.of(bundle.segments[0], bundle.weight_shapes)
        return cls(bundle.input.shape, bundle.input.scale, rows)

    def taken(self, given: npt.NDArray[np.generic]) -> Array:
        """A batch as the network takes it, from a batch (samples, *input shape) or one sample without that axis.

        Whole numbers are raw and scaled as the bundle says, floats are taken as they are. Raises InputsError, also
        for numbers of no row of a table.
        """
        batch = given[None] if given.shape == self.shape else given
        if batch.shape[1:] != self.shape or not len(batch):
            axes = ", ".join(map(str, self.shape))
            raise InputsError(f"inputs have the shape {given.shape}, needed is ({axes}) or (samples, {axes})")
        kind = batch.dtype.kind
        if kind == "f":
            # Not `np.require`, which is Python: asked a few times a second, an answer finds the caches cold.
            taken: Array = np.ascontiguousarray(batch, np.float32)
        elif kind in "iu":
            taken = batch.astype(np.float32) * np.float32(self.scale)
        else:
            raise InputsError(f"inputs are {batch.dtype}; allowed are whole numbers, as raw values, and floats")
        if self.rows is not None and (trouble := self.rows.trouble(taken)) is not None:
            raise InputsError(f"inputs: {trouble}")
        return taken
