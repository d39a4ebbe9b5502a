"""A bundle is believed only as far as it checks out; each of these is refused with words that say why."""

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file, save

from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.bundle import open_bundle
from tidegate.models.bundle.graph_file import graphs_sha256
from tidegate.models.bundle.manifest import ManifestModel
from tidegate.models.errors import BundleError
from tidegate.models.network import TrainedNetwork

SHIPPED = Path(__file__).parents[4] / "profiles" / "bundles" / "digits"

Manifest = dict[str, Any]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))


def edit(bundle: Path, change: Callable[[Manifest], object], name: str = "bundle.json") -> None:
    document = json.loads((bundle / name).read_bytes())
    change(document)
    replace(bundle, name, json.dumps(document).encode())


def replace(bundle: Path, name: str, data: bytes) -> None:
    """Put other contents into a file, with a manifest that vouches for them as an attacker's would."""
    (bundle / name).write_bytes(data)
    if name != "bundle.json":
        entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        edit(bundle, lambda manifest: manifest["files"].update({name: entry}))


def edit_graphs(bundle: Path, change: Callable[[Manifest], object]) -> None:
    """Change the manifest, and have the ladder vouch for the graphs in it where they are graphs at all."""
    edit(bundle, change)
    try:
        manifest = ManifestModel.model_validate_json((bundle / "bundle.json").read_bytes())
        network = TrainedNetwork(
            tuple(segment.segment() for segment in manifest.segments),
            {},
            {
                block: {kind: way.segment() for kind, way in kinds.items()}
                for block, kinds in manifest.stand_ins.items()
            },
            {block: head.segment() for block, head in manifest.exit_heads.items()},
        )
    except (ValidationError, BundleError):
        return
    digest = graphs_sha256(network)
    edit(bundle, lambda ladder: ladder["calibration"].update(graphs_sha256=digest), "ladder.json")
    data = (bundle / "ladder.json").read_bytes()
    replace(bundle, "ladder.json", data)


def replace_weights(bundle: Path, arrays: dict[str, Any]) -> None:
    """Other weights, and a ladder that claims to be made for them."""
    data = save(arrays)
    replace(bundle, "weights.safetensors", data)
    digest = hashlib.sha256(data).hexdigest()
    edit(bundle, lambda ladder: ladder["calibration"].update(weights_sha256=digest), "ladder.json")


def refused(bundle: Path, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        EagerEngine(open_bundle(bundle))


class Bomb:
    """Unpickling this makes a directory where the test can see it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("name", ["weights.safetensors", "canaries.safetensors", "samples.safetensors"])
def test_a_pickle_is_never_loaded(bundle: Path, tmp_path: Path, name: str) -> None:
    replace(bundle, name, pickle.dumps(Bomb(tmp_path / "ran")))
    refused(bundle, "is not a safetensors file")
    assert not (tmp_path / "ran").exists()


def test_a_file_too_many_is_refused(bundle: Path) -> None:
    (bundle / "model.pt").write_bytes(b"")
    refused(bundle, r"missing or too much: \['model.pt'\]")


def test_a_missing_file_is_refused(bundle: Path) -> None:
    (bundle / "ladder.json").unlink()
    refused(bundle, r"missing or too much: \['ladder.json'\]")


def test_names_lead_nowhere_else(bundle: Path) -> None:
    edit(bundle, lambda manifest: manifest["files"].update({"../../secret": manifest["files"]["ladder.json"]}))
    refused(bundle, "secret")


def test_links_are_not_followed(bundle: Path, tmp_path: Path) -> None:
    (bundle / "ladder.json").rename(tmp_path / "elsewhere.json")
    (bundle / "ladder.json").symlink_to(tmp_path / "elsewhere.json")
    refused(bundle, "links are not followed")


def test_a_flipped_bit_is_found(bundle: Path) -> None:
    data = bytearray((bundle / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (bundle / "weights.safetensors").write_bytes(data)
    refused(bundle, "sha256 is")


def test_a_file_cut_short_is_found(bundle: Path) -> None:
    data = (bundle / "samples.safetensors").read_bytes()
    (bundle / "samples.safetensors").write_bytes(data[:-1])
    refused(bundle, "bytes, bundle.json says")


def test_a_change_after_opening_is_found(bundle: Path) -> None:
    opened = open_bundle(bundle)
    data = bytearray((bundle / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (bundle / "weights.safetensors").write_bytes(data)
    with pytest.raises(BundleError, match="changed since"):
        opened.weights(["stem.conv.weight"])


def test_too_many_bytes_are_refused_before_they_are_read(bundle: Path) -> None:
    with pytest.raises(BundleError, match="bytes in all, allowed are 1000"):
        open_bundle(bundle, max_bytes=1000)


def first_node(manifest: Manifest) -> Manifest:
    node: Manifest = manifest["segments"][0]["nodes"][0]
    return node


def stand_in(manifest: Manifest) -> Manifest:
    segment: Manifest = manifest["stand_ins"]["block_1"]["surrogate"]
    return segment


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: first_node(m).update(operator="aten.from_file.default"), r"aten\.from_file\.default.*allowed"),
        (lambda m: first_node(m).update(operator="os.system"), r"os\.system.*allowed"),
        (lambda m: first_node(m).update(name="../x"), "string_pattern|pattern"),
        (lambda m: first_node(m)["args"].__setitem__(0, {"ref": "relu"}), "'relu' is not an earlier value"),
        (lambda m: first_node(m)["args"].__setitem__(0, {"code": "1"}), "is neither a literal"),
        (lambda m: first_node(m)["args"].__setitem__(3, [[[[1]]]]), "nor a list of up to 3 levels"),
        (lambda m: first_node(m)["args"].__setitem__(1, {"weight": "no.such"}), "missing or unused tensors"),
        (lambda m: first_node(m).update(shape=[2**20, 2**20]), "exceeds"),
        (lambda m: first_node(m)["args"].__setitem__(4, [10**6, 10**6]), "declares shape"),
        (lambda m: first_node(m)["args"].__setitem__(3, [0, 0]), "don't fit together"),
        (lambda m: first_node(m)["args"].__setitem__(3, "one"), "don't fit together"),
        (lambda m: m["segments"].pop(1), "missing or unused tensors"),
        (lambda m: m["segments"].append(m["segments"][1] | {"name": "block_10"}), "what comes in is"),
        (lambda m: m["segments"].insert(1, m["segments"][1]), "share a name"),
        (lambda m: m["labels"].pop(), "for 9 labels"),
        (lambda m: stand_in(m)["nodes"][0].update(operator="os.system"), r"os\.system.*allowed"),
        (lambda m: stand_in(m).update(input_shape=[24, 4, 4]), "its stand-in surrogate maps"),
        (lambda m: stand_in(m)["nodes"][0]["args"].append([0, 0]), "don't fit together"),
        (lambda m: m["stand_ins"].update(nowhere=m["stand_ins"]["block_1"]), "not segments to skip"),
        (lambda m: m["stand_ins"]["block_1"].update(identity=stand_in(m)), "identity needs no graph"),
        (lambda m: m["stand_ins"]["block_1"].update(pickle=stand_in(m)), "stand_ins"),
        (lambda m: m["exit_heads"].update(block_7=stand_in(m)), "its exit maps"),
        (lambda m: m["exit_heads"].update(stem=m["exit_heads"]["block_2"]), "not segments behind stem"),
        (lambda m: m["exit_heads"].update(nowhere=m["exit_heads"]["block_2"]), "not segments behind stem"),
        (lambda m: m["exit_heads"]["block_2"]["nodes"][0].update(shape=[23]), "declares shape"),
        (lambda m: m.update(tidegate_bundle=2), "tidegate_bundle"),
        (lambda m: m.update(surprise=1), "surprise"),
        (lambda m: m["input"].update(scale=-1), "scale"),
    ],
)
def test_manifests_that_lie_are_refused(bundle: Path, change: Callable[[Manifest], object], words: str) -> None:
    edit_graphs(bundle, change)
    refused(bundle, words)


def test_other_graphs_than_the_ladders_are_refused(bundle: Path) -> None:
    edit(bundle, lambda manifest: first_node(manifest)["args"].__setitem__(3, [2, 2]))
    refused(bundle, "other graphs")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["points"][1].update(skip=["stem"]), "are not blocks"),
        (lambda c: c["points"][1].update(layer_precision={"stem.none": "int8"}), "are not layers"),
        (lambda c: c["points"][1].update(skip=["block_1"], thresholds={"block_1": 1}), "both skipped and gated"),
        (lambda c: c["points"][0].update(precision="int8"), "must be the full net"),
        (lambda c: c["points"][1]["certificate"].update(alpha=0), "certified at 0"),
        (lambda c: c["points"][1]["certificate"].update(alpha=0.007), "certified at 0.007"),
        (lambda c: c["points"][1]["certificate"].update(delta=0.5), "delta"),
        (lambda c: c["points"][1].update(precision="int2"), "int2"),
        (lambda c: c["points"][1].update(name="full"), "share a name"),
        (lambda c: c["calibration"].update(weights_sha256="0" * 64), "other weights"),
        (lambda c: c["calibration"].update(graphs_sha256="0" * 64), "other graphs"),
        (lambda c: c["points"][1].update(stand_ins={"stem": "affine"}), "are not blocks"),
        (lambda c: c["points"][1].update(stand_ins={"block_1": "shortcut"}), "has no stand-in shortcut"),
        (lambda c: c["points"][1].update(stand_ins={"block_1": "pickle"}), "stand_ins"),
        (lambda c: c["points"][1].update(skip=["downsample"], stand_ins={}), "has no stand-in identity"),
        (lambda c: c["points"][1].update(exits={"block_1": 0.5, "stem": 0.5}), "have no exit"),
        (lambda c: c["points"][1].update(exits={"block_2": 1.5}), "exits"),
        (lambda c: c["points"][0].update(exits={"block_2": 0.5}), "must be the full net"),
        (lambda c: c["points"][1].update(activity="os.system"), "activity"),
        (lambda c: c.update(points=[]), "points"),
    ],
)
def test_ladders_that_lie_are_refused(bundle: Path, change: Callable[[Manifest], object], words: str) -> None:
    edit(bundle, change, "ladder.json")
    refused(bundle, words)


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(bundle: Path) -> None:
    header = json.dumps(
        {"stem.conv.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    ).encode()
    replace(bundle, "weights.safetensors", len(header).to_bytes(8, "little") + header)
    refused(bundle, "is not a safetensors file")


def test_weights_of_another_shape_are_refused(bundle: Path) -> None:
    arrays = load_file(bundle / "weights.safetensors")
    replace_weights(bundle, arrays | {"stem.conv.weight": np.zeros((24, 2, 3, 3), np.float32)})
    refused(bundle, "don't fit together")


def test_weights_of_another_type_are_refused(bundle: Path) -> None:
    arrays = load_file(bundle / "weights.safetensors")
    replace_weights(bundle, arrays | {"stem.conv.weight": arrays["stem.conv.weight"].astype(np.float64)})
    refused(bundle, "is F64, master weights are F32")


def test_canaries_of_another_shape_are_refused(bundle: Path) -> None:
    arrays = load_file(bundle / "canaries.safetensors")
    replace(bundle, "canaries.safetensors", save(arrays | {"top1": arrays["top1"][:-1]}))
    with pytest.raises(BundleError, match="top1 is int64"):
        open_bundle(bundle).canaries()


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"null", b"\xff\xfe", b'{"tidegate_bundle": NaN}'])
def test_nonsense_manifests_are_refused(bundle: Path, text: bytes) -> None:
    (bundle / "bundle.json").write_bytes(text)
    refused(bundle, "bundle.json")


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "is not a directory")
    refused(tmp_path, "bundle.json")
