"""A model from its bundle to what answers: its engine is opened, and a point that answers the canaries right."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tidegate.engines.engine import UnsupportedPoint, Variant
from tidegate.engines.runtime.auto import AutoEngine
from tidegate.engines.runtime.choice import Choice
from tidegate.engines.runtime.installed import UnknownEngine
from tidegate.engines.runtime.placement_watch import PlacementWatch
from tidegate.engines.runtime.registry import open_at_once
from tidegate.engines.runtime.resident import ResidentEngine
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.evidence import Canaries
from tidegate.models.errors import BundleError
from tidegate.worker.certified_answers import CertifiedAnswers
from tidegate.worker.choosing import NoRightAnswer, first_variant, refused_points
from tidegate.worker.footage import KeptFootage
from tidegate.worker.inference_queue import InferenceQueue
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.served_model import ModelParts
from tidegate.worker.shadow import Shadow

UNABLE = (BundleError, UnknownEngine, UnsupportedPoint, NoRightAnswer)
"""What `open_model` raises where the model can't be served here."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What all models of a worker share: where things are kept, and how an answer's threads wait."""

    cache: Path | None
    keep_bytes: int
    spin: bool
    memory_limit_bytes: int | None


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """What serves: `variant` has answered the canaries. `auto` and `trials` where engines are to be tried."""

    bundle: Bundle
    engine: ResidentEngine
    refused: dict[str, str]
    canaries: Canaries
    variant: Variant
    auto: AutoEngine | None
    trials: Callable[[], Choice] | None

    def parts(self, name: str, footage: KeptFootage | None = None) -> ModelParts:
        """What answers for it under this name; `footage` keeps frames that it answers."""
        bundle, comparison = self.bundle, self.bundle.calibration.comparison
        queue = InferenceQueue(self.variant)
        watch = None if self.auto is None else PlacementWatch(self.auto, comparison)
        shadow = Shadow(self.engine, bundle.ladder.full, comparison, queue, watch=watch, footage=footage)
        certified = CertifiedAnswers(self.engine, bundle.ladder, self.refused, self.canaries, queue)
        return ModelParts(
            name, bundle, Interface.of(bundle), self.engine, queue, shadow, certified, self.canaries, self.auto
        )


def open_model(
    bundle: Bundle,
    engine_name: str,
    point: str,
    runtime: Runtime,
    say: Callable[[str], None] = lambda _: None,
) -> OpenedModel:
    """What answers for a bundle, at a point that answers its canaries; `say` hears what is done. Raises UNABLE."""
    say(f"it opens engine {engine_name}")
    opened, trials = open_at_once(engine_name, bundle, runtime.cache, runtime.spin, runtime.memory_limit_bytes)
    engine = ResidentEngine(opened, runtime.keep_bytes)
    refused = refused_points(engine, bundle.ladder)
    say(f"it prepares {point} on {engine.name}")
    canaries = bundle.canaries()
    variant = first_variant(engine, bundle.ladder, canaries, point, refused)
    auto = opened if isinstance(opened, AutoEngine) else None
    return OpenedModel(bundle, engine, refused, canaries, variant, auto, trials)
