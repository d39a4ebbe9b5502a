"""bundle.json: what a bundle directory holds and how it was built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tidegate.models.bundle.graph_file import Name, SegmentModel, ShapeModel
from tidegate.models.ladder import StandIn

MANIFEST = "bundle.json"
WEIGHTS = "weights.safetensors"
LADDER = "ladder.json"
CANARIES = "canaries.safetensors"
SAMPLES = "samples.safetensors"
FILES = (WEIGHTS, LADDER, CANARIES, SAMPLES)
"""A bundle is the manifest and exactly these; names never come from the manifest, so none can lead elsewhere."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The model's input: per-sample shape, and the factor from raw sample values to float32 input values."""

    name: str
    shape: tuple[int, ...]
    scale: float


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a bundle was built: the command that does it again, its seed, the data by name, and torch's version."""

    command: str
    seed: int
    data: str
    parts: Mapping[str, int]
    torch: str


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputModel(_Model):
    """The input in the file."""

    name: Name
    shape: ShapeModel
    dtype: Literal["float32"] = "float32"
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ProvenanceModel(_Model):
    """How it was built, in the file; `parts` are sizes, their hashes stand in ladder.json."""

    command: str
    seed: int
    data: str
    parts: dict[Name, Annotated[int, Field(ge=0)]]
    torch: str


class FileModel(_Model):
    """One file's size and hash."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ManifestModel(_Model):
    """The whole file."""

    tidegate_bundle: Literal[1] = 1
    model: Name
    input: InputModel
    labels: Annotated[list[str], Field(min_length=1, max_length=100_000)]
    built: ProvenanceModel
    files: dict[
        Literal["weights.safetensors", "ladder.json", "canaries.safetensors", "samples.safetensors"], FileModel
    ]
    segments: Annotated[list[SegmentModel], Field(min_length=1, max_length=10_000)]
    stand_ins: Annotated[dict[Name, dict[StandIn, SegmentModel]], Field(max_length=10_000)] = {}
    exit_heads: Annotated[dict[Name, SegmentModel], Field(max_length=10_000)] = {}
