"""Training by a recipe. What is trained is kept, and taken from there the next time."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from tidegate_bench.pays.datasets import SCALE, LabelledInputs
from tidegate_bench.pays.networks import NETWORKS
from tidegate_bench.pays.recipe import Recipe
from tidegate_bench.progress import Progress

BATCH = 100
SEED = 0
THREADS = 1


def trained(name: str, data: LabelledInputs, folder: Path, progress: Progress) -> nn.Module:
    """A network in evaluation mode, from `folder` where it was trained before. Sets torch's seed and threads."""
    recipe = NETWORKS[name]
    facts = json.dumps([name, recipe.epochs, recipe.trained_on, recipe.max_rate, str(torch.__version__)])
    path = folder / f"pays-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.safetensors"
    torch.set_num_threads(THREADS)
    torch.manual_seed(SEED)
    net = recipe.make()
    if path.exists():
        net.load_state_dict(load_file(path))
        return net.eval()
    _fit(net, recipe, data, progress)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in net.state_dict().items()}, path)
    fresh = recipe.make()
    fresh.load_state_dict(load_file(path))
    return fresh.eval()


def _fit(net: nn.Module, recipe: Recipe, data: LabelledInputs, progress: Progress) -> None:
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # left out of torch's stubs
    inputs = torch.from_numpy(data.inputs[: recipe.trained_on])
    labels = torch.from_numpy(data.labels[: recipe.trained_on])
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    steps = recipe.epochs * -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=recipe.max_rate, total_steps=steps)
    net.train()
    for epoch in range(recipe.epochs):
        total = 0.0
        for index in torch.split(torch.randperm(len(inputs)), BATCH):
            batch = moved(inputs[index].float() * SCALE)
            loss = functional.cross_entropy(net(batch), labels[index], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch's stubs
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(index)
        progress(f"epoch {epoch + 1} of {recipe.epochs}: loss {total / len(inputs):.3f}")


def moved(batch: Tensor) -> Tensor:
    """The whole batch by up to two pixels in both directions: another place at every step, at no cost.

    Signals, whose height is 1, move in time alone.
    """
    down, right = (int(offset) for offset in torch.randint(0, 5, (2,)))
    height, width = batch.shape[2:]
    above = 2 if height > 1 else 0
    padded = functional.pad(batch, (2, 2, above, above))
    down = min(down, 2 * above)
    return padded[:, :, down : down + height, right : right + width].contiguous(memory_format=torch.channels_last)
