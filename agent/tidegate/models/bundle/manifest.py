"""bundle.json: what a bundle directory holds and how it was built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from tidegate.models.bundle.graph_file import SegmentModel, ShapeModel
from tidegate.models.bundle.strict_model import Count, Name, Sha256, StrictModel
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


class InputModel(StrictModel):
    """`InputSpec` as the file has it; `scale` is above 0."""

    name: Name
    shape: ShapeModel
    dtype: Literal["float32"] = "float32"
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ProvenanceModel(StrictModel):
    """How it was built, in the file; `parts` are sizes, their hashes stand in ladder.json."""

    command: str
    seed: int
    data: str
    parts: dict[Name, Count]
    torch: str


class FileModel(StrictModel):
    """What the manifest vouches for of one file: its size in bytes and its SHA-256 in hexadecimal."""

    bytes: Count
    sha256: Sha256


FileName = Literal["weights.safetensors", "ladder.json", "canaries.safetensors", "samples.safetensors"]
"""Any of FILES."""


class ManifestModel(StrictModel):
    """The file; of format 1, the only one so far."""

    tidegate_bundle: Literal[1] = 1
    model: Name
    input: InputModel
    labels: Annotated[list[str], Field(min_length=1, max_length=100_000)]
    built: ProvenanceModel
    files: dict[FileName, FileModel]
    segments: Annotated[list[SegmentModel], Field(min_length=1, max_length=10_000)]
    stand_ins: dict[Name, dict[StandIn, SegmentModel]] = Field(default_factory=dict, max_length=10_000)
    exit_heads: dict[Name, SegmentModel] = Field(default_factory=dict, max_length=10_000)
