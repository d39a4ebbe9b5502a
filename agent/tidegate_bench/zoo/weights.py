"""Reading a torchvision state dict from a file into a network of the zoo."""

import re
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tidegate.errors import EX_DATAERR, TidegateError

_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
"""The published DenseNet files predate today's names: `norm.1.weight` is `norm1.weight`."""


class WeightsError(TidegateError):
    """The file doesn't hold this network's weights; the message names the first keys or shapes that differ."""

    exit_code = EX_DATAERR


def load_weights(net: nn.Module, path: Path) -> None:
    """Fill the network from a .safetensors file or a torch file of tensors only. Raises WeightsError.

    Nothing in a torch file is run: only tensors and plain containers are read.
    """
    found = {_OLD_DENSENET.sub(r"\1\2.", key): value for key, value in _read(path).items()}
    expected = net.state_dict()
    # Counters of training steps: absent from old files, of no use at inference.
    missing = {key for key in expected.keys() - found.keys() if not key.endswith("num_batches_tracked")}
    unknown = found.keys() - expected.keys()
    if missing or unknown:
        raise WeightsError(
            f"{path}: {len(missing)} weights missing {sorted(missing)[:3]}, {len(unknown)} unknown "
            f"{sorted(unknown)[:3]}; the keys must be torchvision's for this network"
        )
    for key, value in found.items():
        if value.shape != expected[key].shape:
            raise WeightsError(f"{path}: {key} is {tuple(value.shape)}, expected {tuple(expected[key].shape)}")
    net.load_state_dict({**expected, **found})


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path}: can't be read as a file of tensors: {reason}") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise WeightsError(f"{path}: holds no state dict (a mapping of names to tensors)")
    return {str(key): value for key, value in found.items()}
