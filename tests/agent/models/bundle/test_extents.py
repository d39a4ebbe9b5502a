"""Where a bundle's files are cut: each byte once, and a change stays where it is."""

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from tidegate.content.chunk import CHUNK_BYTES
from tidegate.content.index import Index, index_of
from tidegate.models.bundle.extents import extents
from tidegate.paths import profiles_directory

SHIPPED = profiles_directory() / "bundles" / "digits"


def indexed(directory: Path) -> Index:
    return index_of(directory, extents(directory, CHUNK_BYTES))


def new_bytes(before: Index, after: Index) -> int:
    had = {place.chunk.sha256 for place in before.places()}
    return sum(place.chunk.size for place in after.places() if place.chunk.sha256 not in had)


def test_each_byte_is_in_one_chunk() -> None:
    for name, ranges in extents(SHIPPED, CHUNK_BYTES).items():
        assert [each.start for each in ranges] == [0, *(each.stop for each in ranges[:-1])]
        assert ranges[-1].stop == (SHIPPED / name).stat().st_size
        assert all(0 < len(each) <= CHUNK_BYTES for each in ranges)


def test_a_changed_ladder_costs_the_ladder_alone(tmp_path: Path) -> None:
    edited = tmp_path / "edited"
    shutil.copytree(SHIPPED, edited)
    ladder = json.loads((edited / "ladder.json").read_text())
    ladder["points"][-1]["figures"]["latency_p50_ms"] = 0.5
    (edited / "ladder.json").write_text(json.dumps(ladder, indent=1))
    assert new_bytes(indexed(SHIPPED), indexed(edited)) <= (edited / "ladder.json").stat().st_size


def test_a_tensor_more_in_front_moves_no_other_chunk(tmp_path: Path) -> None:
    """The header grows and shifts every byte behind it: what was cut at fixed places would all be new."""
    edited = tmp_path / "edited"
    shutil.copytree(SHIPPED, edited)
    tensors = load_file(edited / "weights.safetensors")
    save_file({"aaaa": np.arange(5000, dtype=np.float32), **tensors}, edited / "weights.safetensors")
    grown = (edited / "weights.safetensors").stat().st_size
    assert new_bytes(indexed(SHIPPED), indexed(edited)) < 0.15 * grown
