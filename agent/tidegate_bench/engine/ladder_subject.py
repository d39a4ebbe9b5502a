"""The net of the ladder's race: residual, of twelve blocks, trained with stochastic depth on enlarged digits.

The digits are scikit-learn's, 8x8 pixels enlarged to 32x32. That adds no detail, and makes the task easy for a net
of this size: what adapting gains on it is more than on a hard one.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from tidegate.calibration.data.digits.data import load_split
from tidegate.calibration.data.digits.net import Head, Residual, Stem
from tidegate.calibration.data.digits.training import fit, set_up
from tidegate.calibration.data.split import Part, Split
from tidegate_bench.progress import Progress

SIDE = 32


@dataclass(frozen=True, slots=True)
class Recipe:
    """How large the net is, how long it is trained, and how the digits are cut: train, search, certify, report."""

    width: int = 32
    blocks_per_stage: int = 4
    epochs: int = 14
    drop: float = 0.25
    seed: int = 0
    sizes: tuple[int, int, int, int] = (600, 200, 700, 297)


class ThreeStages(nn.Module):
    """Stem, blocks at 32x32, at 16x16 and at 8x8 with the width doubled each time, head."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        count = 3 * recipe.blocks_per_stage
        widths = [recipe.width * 2**stage for stage in range(3)]
        layers: list[nn.Module] = [Stem(widths[0])]
        for stage, width in enumerate(widths):
            if stage:
                layers.append(Residual(widths[stage - 1], width, stride=2))
            for index in range(recipe.blocks_per_stage):
                place = stage * recipe.blocks_per_stage + index + 1
                # Later blocks are dropped more often, as in the digits net.
                layers.append(Residual(width, width, drop=2 * recipe.drop * place / (count + 1)))
        self.layers = nn.Sequential(*layers, Head(widths[-1], 10))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 32, 32) to (n, 10) logits."""
        logits: Tensor = self.layers(x)
        return logits


class _Enlarging(nn.Module):
    """A net of large images that is trained on small ones, in bfloat16 and channels last: a third of the time."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # left out of the stubs

    def forward(self, x: Tensor) -> Tensor:
        images = enlarged(x).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits: Tensor = self.net(images)
        return logits.float()


def trained(recipe: Recipe, cache: Path, progress: Progress) -> ThreeStages:
    """The net in evaluation mode, from the cache where it was trained before."""
    facts = json.dumps([asdict(recipe), str(torch.__version__)], sort_keys=True)
    path = cache / f"ladder-subject-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.safetensors"
    set_up(recipe.seed)
    net = ThreeStages(recipe)
    if path.exists():
        progress(f"taking the net that was trained before from {path}")
        net.load_state_dict(load_file(path))
        return net.eval()
    progress("training; this is kept for later runs")
    fit(_Enlarging(net), load_split(recipe.seed, recipe.sizes).train, recipe.epochs, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(state, path)
    # The trained one lies channels last in memory; what is returned is the same as what a later run will read.
    fresh = ThreeStages(recipe)
    fresh.load_state_dict(state)
    return fresh.eval()


def large_split(recipe: Recipe) -> Split:
    """The digits as the net takes them, (n, 1, 32, 32) before scaling."""
    split = load_split(recipe.seed, recipe.sizes)
    parts = {name: _large(part) for name, part in split.parts.items()}
    return Split(f"{split.name}, enlarged to {SIDE}x{SIDE}", recipe.seed, **parts)


def enlarged(images: Tensor) -> Tensor:
    """(n, channels, h, w) to (n, channels, 32, 32)."""
    return functional.interpolate(images, (SIDE, SIDE), mode="bilinear", align_corners=False)


def _large(part: Part) -> Part:
    return replace(part, inputs=enlarged(torch.from_numpy(part.inputs).float()).numpy())
