"""A bundle whose weights take a stated amount of memory: two layers over a digit's pixels, and one point."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.bundle.evidence import Canaries, Samples
from tidegate.models.bundle.graph_file import graphs_sha256
from tidegate.models.bundle.ladder_file import Calibration
from tidegate.models.bundle.manifest import InputSpec, Provenance
from tidegate.models.bundle.writer import Contents, weights_file, write_bundle
from tidegate.models.comparing import answers
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Certificate, Comparison, Figures, Ladder, OperatingPoint, Risk

PIXELS, CLASSES, SCALE = 64, 10, 1 / 16
BYTES_OF_UNIT = 4 * (PIXELS + CLASSES)
"""Of a unit of the hidden layer, without biases."""


def keep_heavy_bundle(out: Path, weight_bytes: int, seed: int = 0) -> None:
    """Write it; the model is called `heavy` and takes a digit as the shipped bundle's does."""
    torch.manual_seed(seed)
    units = weight_bytes // BYTES_OF_UNIT
    hidden = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, units, bias=False), nn.ReLU())
    head = nn.Sequential(nn.Linear(units, CLASSES, bias=False))
    raw = np.random.default_rng(seed).integers(0, 16, (4, 1, 8, 8)).astype(np.uint8)
    floats = raw.astype(np.float32) * np.float32(SCALE)
    network = export_network([("hidden", hidden), ("head", head)], torch.from_numpy(floats[:2]))
    figures = Figures(
        n=4,
        accuracy=None,
        newly_wrong=None,
        disagreement=0.0,
        skip_ratio=0.0,
        flops_ratio=1.0,
        latency_p50_ms=1.0,
        latency_p95_ms=1.0,
        weights_resident_bytes=weight_bytes,
    )
    full = OperatingPoint("full", "eager", figures, Certificate(Risk.DISAGREEMENT, 0.0, 0.05, 100, 0))
    outputs = EagerEngine(network).prepare(full).run(floats).outputs
    comparison = Comparison()
    calibration = Calibration(
        weights_sha256=hashlib.sha256(weights_file(network)).hexdigest(),
        graphs_sha256=graphs_sha256(network),
        data="noise",
        parts={},
        failure="another class",
        comparison=comparison,
        search={},
        alphas=(0.05,),
        delta=0.05,
        seed=seed,
        torch=str(torch.__version__),
        measured_on="nowhere",
    )
    write_bundle(
        out,
        Contents(
            model="heavy",
            input=InputSpec("image", (1, 8, 8), SCALE),
            labels=tuple(map(str, range(CLASSES))),
            built=Provenance("a test", 0, "noise", {}, str(torch.__version__)),
            network=network,
            ladder=Ladder((full,)),
            calibration=calibration,
            canaries=Canaries(floats, outputs, {"full": answers(comparison, outputs, outputs)}, comparison),
            samples=Samples(raw[:1], None, SCALE),
        ),
    )
