"""`tidegate bench few-labels`: certificates of one's own place, by labels of the disagreements alone.

A network of `bench pays` and its ladder there, on real pictures that neither has seen. These are the place: what a
point fails on among all of them is its true risk there. Draws of them, as a camera would keep them, are certified.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tidegate.calibration.data.batches import answer_all
from tidegate.calibration.recertify.counting import (
    ALPHAS,
    UNLABELLED,
    PointAnswers,
    certificates,
    failed,
    to_label,
)
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.evidence import Floats, Indices, scaled
from tidegate.models.importing.discovery import discover
from tidegate.models.ladder import Risk
from tidegate.paths import cache_directory
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.pays.bench import WHOLE
from tidegate_bench.pays.datasets import SCALE, load
from tidegate_bench.pays.ladders import built_ladder
from tidegate_bench.pays.networks import NETWORKS
from tidegate_bench.pays.training import trained
from tidegate_bench.progress import Progress

NETWORK = "grouped, fashion-mnist"
"""Held back, and of a data set that leaves 47,000 pictures which were in none of training and ladder."""

FRAMES, DRAWS, QUICK_DRAWS = 10_000, 2000, 200
DELTA, WANTED = 0.05, 0.005
LOW_RISK, MOST_LABELS, SHOWN = 0.002, 250, 0.95


@dataclass(frozen=True, slots=True)
class Place:
    """All pictures of a place: their labels (n,), the full model's answers (n,), and the points' (points, n)."""

    points: tuple[str, ...]
    labels: Indices
    full: Indices
    answers: Indices

    @property
    def risks(self) -> npt.NDArray[np.float64]:
        """Of each point the share of pictures that full gets right and it gets wrong."""
        wrong = (self.full == self.labels) & (self.answers != self.labels)
        return np.asarray(wrong.mean(1))


@dataclass(frozen=True, slots=True)
class Drawn:
    """What came of draws: per draw and point, labels asked for (those of dearer points too) and the bound shown.

    A bound is infinite where there is no certificate.
    """

    asked: Indices
    alphas: npt.NDArray[np.float64]


def run(*, quick: bool, progress: Progress, seed: int = 0) -> Figures:
    """Train and build where that was not done before, then draw. Sets torch's seed and thread count."""
    place = _place(progress)
    progress(f"drawing {FRAMES:,} of {len(place.labels):,} pictures, again and again")
    drawn = draws(place, FRAMES, QUICK_DRAWS if quick else DRAWS, np.random.default_rng(seed))
    return Figures("few-labels", rows(place, drawn), goals(place, drawn))


def draws(place: Place, frames: int, tries: int, rng: np.random.Generator) -> Drawn:
    """Certify so many draws (with replacement) by what is asked for alone."""
    found = Drawn(
        np.zeros((tries, len(place.points)), np.int64), np.full((tries, len(place.points)), np.inf, np.float64)
    )
    for index in range(tries):
        some = rng.integers(len(place.labels), size=frames)
        full, truth = place.full[some], place.labels[some]
        own = [PointAnswers(answers[some], answers[some] != full) for answers in place.answers]
        asked = to_label(own)
        known = np.full(frames, UNLABELLED, np.int64)
        known[asked] = truth[asked]
        found.asked[index] = np.logical_or.accumulate([point.differs for point in own]).sum(1)
        masks = [failed(full, point, known) for point in own]
        for place_of, held in enumerate(certificates(masks, Risk.NEWLY_WRONG, ALPHAS, DELTA)):
            found.alphas[index, place_of] = np.inf if held is None else held.alpha
    return found


def rows(place: Place, drawn: Drawn) -> list[dict[str, Cell]]:
    """One per point, in the ladder's order."""
    false = drawn.alphas < place.risks
    return [
        {
            "point": name,
            "true_risk": float(place.risks[index]),
            "disagreement": float((place.answers[index] != place.full).mean()),
            "labels_mean": float(drawn.asked[:, index].mean()),
            "labels_most": int(drawn.asked[:, index].max()),
            "certified_at_half_a_percent": float((drawn.alphas[:, index] <= WANTED).mean()),
            "certified_at_all": float(np.isfinite(drawn.alphas[:, index]).mean()),
            "false": float(false[:, index].mean()),
        }
        for index, name in enumerate(place.points)
    ]


def goals(place: Place, drawn: Drawn) -> list[Goal]:
    """Unknown where the place has no point of so low a risk."""
    low = place.risks <= LOW_RISK
    shown = (drawn.alphas[:, low] <= WANTED) & (drawn.asked[:, low] <= MOST_LABELS)
    false = (drawn.alphas < place.risks).any(1)
    return [
        Goal(
            f"share of draws in which {WANTED:.1%} is shown of a point whose risk is at most {LOW_RISK:.1%}, with "
            f"at most {MOST_LABELS} labels of {FRAMES:,} pictures: the least of any such point",
            SHOWN,
            float(shown.mean(0).min()) if low.any() else None,
        ),
        Goal("share of draws in which any certificate is false", DELTA, float(false.mean()), at_least=False),
    ]


def _place(progress: Progress) -> Place:
    recipe, folder = NETWORKS[NETWORK], cache_directory() / "pays"
    data = load(recipe.data, folder)
    net = trained(NETWORK, data, folder, lambda text: progress(f"{NETWORK}: {text}"))
    untouched = data.part(recipe.trained_on, len(data.inputs))
    network = discover(net, torch.zeros(2, *data.inputs.shape[1:])).network
    first, last = WHOLE.apart, WHOLE.apart + WHOLE.labelled
    bundle = open_bundle(built_ladder(NETWORK, network, untouched.part(first, last), folder, progress).bundle)
    parts = untouched.part(0, first), untouched.part(last, len(untouched.inputs))
    inputs = np.concatenate([each.inputs for each in parts])
    labels = np.concatenate([each.labels for each in parts])
    return _answered(bundle, scaled(inputs, SCALE), labels, progress)


def _answered(bundle: Bundle, inputs: Floats, labels: Sequence[int] | Indices, progress: Progress) -> Place:
    points = [point for point in bundle.ladder.points[1:] if point.certificate is not None]
    found = []
    for point in (bundle.ladder.full, *points):
        progress(f"{point.name} answers {len(inputs):,} pictures")
        # On the engine that the ladder is for: what is certified is what it answers.
        variant = open_engine(points[-1].engine if points else point.engine, bundle, None).prepare(point)
        found.append(answer_all(variant, inputs).outputs.argmax(1))
    return Place(tuple(p.name for p in points), np.asarray(labels), found[0], np.array(found[1:], np.int64))
