"""A model to try things with: pictures of three shapes, and a small network that tells them apart.

`python shapes.py` draws a folder `pictures` with a subfolder per class, and trains the network on other pictures
of the same kind.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

CLASSES = ("circle", "square", "triangle")
SIDE = 16
EPOCHS = 8
WEIGHTS = Path(__file__).with_name("shapes.pt")


def draw(shape: str, random: np.random.Generator) -> Image.Image:
    """One grey picture of SIDE x SIDE: the shape somewhere, of some size, with noise over it."""
    canvas = Image.new("L", (SIDE, SIDE), int(random.integers(40, 90)))
    radius = random.uniform(3.5, 6.0)
    x, y = random.uniform(radius, SIDE - radius, 2)
    pencil, ink = ImageDraw.Draw(canvas), int(random.integers(150, 230))
    if shape == "circle":
        pencil.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
    else:
        corners = {"square": 4, "triangle": 3}[shape]
        pencil.regular_polygon((x, y, radius * 1.2), corners, random.uniform(0, 30), fill=ink)
    noisy = np.asarray(canvas, np.float32) + random.normal(0, 12, (SIDE, SIDE))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


class Block(nn.Module):
    """Two convolutions beside a shortcut: what a ladder may skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, h, w) to the same."""
        return torch.relu(x + self.body(x))


def untrained() -> nn.Module:
    """(n, 1, SIDE, SIDE) in 0..1 to (n, 3) logits."""
    stem = nn.Sequential(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, len(CLASSES)))
    return nn.Sequential(stem, *(Block(16) for _ in range(4)), head)


def net() -> nn.Module:
    """The trained network: what `tidegate bundle build --model shapes:net` calls."""
    model = untrained()
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return model


def train(random: np.random.Generator) -> nn.Module:
    """A network trained on 2,400 pictures; about ten seconds of one core."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    labels = torch.arange(2400) % len(CLASSES)
    pixels = np.stack([np.asarray(draw(CLASSES[label], random)) for label in labels])
    inputs = torch.from_numpy(pixels[:, None].astype(np.float32) / 255)
    model = untrained()
    optimizer = torch.optim.AdamW(model.parameters())
    steps = EPOCHS * -(-len(inputs) // 64)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        right = 0
        for chosen in torch.randperm(len(inputs)).split(64):
            logits = model(inputs[chosen])
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, labels[chosen]).backward()
            optimizer.step()
            rate.step()
            right += int((logits.argmax(1) == labels[chosen]).sum())
        print(f"epoch {epoch + 1} of {EPOCHS}: {right / len(inputs):.1%} right")
    return model


def main() -> None:
    """Draw the folder, train, and keep the weights beside this file."""
    random = np.random.default_rng(0)
    for shape in CLASSES:
        folder = Path("pictures") / shape
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(400):
            draw(shape, random).save(folder / f"{number:03}.png")
    print(f"pictures: {400 * len(CLASSES)} in {len(CLASSES)} folders")
    torch.save(train(random).state_dict(), WEIGHTS)
    print(f"wrote {WEIGHTS.name}")


if __name__ == "__main__":
    main()
