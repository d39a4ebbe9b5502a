"""Training the digits net: seeded, on a fixed number of threads, so that it repeats on the same machine."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tidegate.calibration.data.digits.data import SCALE
from tidegate.calibration.data.digits.net import BLOCKS, DigitsNet
from tidegate.calibration.data.split import Part

EPOCHS = 60
BATCH = 50
THREADS = 2
"""Sums depend on how work is cut over threads, so the number is part of what makes a build repeatable."""


def shifted(images: Tensor) -> Tensor:
    """Each image moved by up to one pixel in both directions, zeros moving in."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    offsets = torch.randint(0, 3, (len(images), 2)).tolist()
    height, width = images.shape[2:]
    return torch.stack(
        [image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, offsets, strict=True)]
    )


def train(
    part: Part,
    seed: int,
    epochs: int = EPOCHS,
    progress: Callable[[str], None] = lambda _: None,
    blocks: tuple[int, int] = BLOCKS,
) -> DigitsNet:
    """A trained net. Sets torch's seed and thread count for this process."""
    set_up(seed)
    net = DigitsNet(blocks=blocks)
    fit(net, part, epochs, progress)
    return net


def set_up(seed: int) -> None:
    """What must stand before a net is made, for its training to repeat: torch's seed and thread count."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)


def fit(
    net: nn.Module,
    part: Part,
    epochs: int,
    progress: Callable[[str], None] = lambda _: None,
    augmented: Callable[[Tensor], Tensor] = shifted,
) -> None:
    """Train a net of 10 logits in place, and leave it in evaluation mode; `augmented` makes its inputs of digits.

    Raises ValueError for a part without labels.
    """
    inputs = torch.from_numpy(part.inputs).float() * SCALE
    labels = torch.from_numpy(part.known_labels)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    steps = epochs * -(-len(part) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    net.train()
    for epoch in range(epochs):
        total = 0.0
        for index in torch.split(torch.randperm(len(part)), BATCH):
            loss = loss_of(net(augmented(inputs[index])), labels[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(index)
        progress(f"epoch {epoch + 1} of {epochs}: loss {total / len(part):.3f}")
    net.eval()
