"""Which bundle an agent starts with: the pushed one, the one before it, or agent.yaml's."""

from dataclasses import dataclass
from pathlib import Path

from tidegate.content.index import sha256_of
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.manifest import MANIFEST
from tidegate.models.errors import BundleError
from tidegate.supervisor.bundles.slot_store import SlotStore
from tidegate.supervisor.bundles.slots import Base, Placed, leave, take_back


@dataclass(frozen=True, slots=True)
class FirstBundle:
    """The bundle to serve, the pushed ones that don't, each with the reason, and what else there is to say."""

    bundle: Bundle
    given_up: tuple[tuple[Placed, str], ...] = ()
    told: tuple[str, ...] = ()


def base_of(configured: Path) -> Base:
    """The bundle that agent.yaml names, as it lies there now."""
    try:
        return Base(str(configured), sha256_of(configured / MANIFEST))
    except OSError:
        return Base(str(configured), "")


def first_bundle(store: SlotStore, configured: Path) -> FirstBundle:
    """The pushed bundle in force unless agent.yaml has another one now, or it can't be opened any more.

    Raises BundleError for agent.yaml's alone.
    """
    base = base_of(configured)
    given_up: list[tuple[Placed, str]] = []
    while (active := store.slots.active) is not None:
        if active.base.replaced_by(base):
            store.step_back(leave(store.slots))
            return FirstBundle(open_bundle(configured), tuple(given_up), (left(active, configured),))
        try:
            bundle = open_bundle(store.path(active.slot))
        except (BundleError, OSError) as error:
            reason = f"it can't be opened any more: {error}"
        else:
            if bundle.sha256 == active.digest:
                return FirstBundle(bundle, tuple(given_up))
            reason = f"its slot holds another bundle, {bundle.sha256[:12]}..."
        store.step_back(take_back(store.slots, reason))
        given_up.append((active, reason))
    return FirstBundle(open_bundle(configured), tuple(given_up))


def left(active: Placed, configured: Path) -> str:
    """What there is to say where agent.yaml's bundle takes over."""
    return (
        f"agent.yaml's bundle, {configured}, has changed since version {active.version} was pushed "
        f"({active.digest[:12]}...), and is in force"
    )
