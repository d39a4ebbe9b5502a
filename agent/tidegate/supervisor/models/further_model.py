"""A model beside the main one: its key in agent.yaml with its bundle, opened and checked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tidegate.config import AgentConfig
from tidegate.engines.runtime.installed import check_installed
from tidegate.errors import EX_CONFIG, TidegateError
from tidegate.models.bundle import Bundle, open_bundle


class ModelNameError(TidegateError):
    """Two models would be asked for by one name."""

    exit_code = EX_CONFIG


@dataclass(frozen=True, slots=True)
class FurtherModel:
    """`used_by` says what needs it beside its clients, in words; empty for nothing."""

    name: str
    bundle: Bundle
    engine: str
    on_request: bool = False
    max_accuracy_loss: float | None = None
    used_by: str = ""


def open_models(config: AgentConfig, main: str, opened: Sequence[FurtherModel] = ()) -> tuple[FurtherModel, ...]:
    """The models beside the one called `main`; bundles in `opened` that are still the same stay as they are.

    Reads files, hashes bundles. Raises TidegateError.
    """
    check_name(main, (each.name for each in config.models))
    known = {each.bundle.path: each.bundle for each in opened}
    found = []
    for each in config.models:
        bundle = open_bundle(each.bundle)
        before = known.get(bundle.path)
        engine = each.engine or config.worker.engine
        check_installed(engine)
        found.append(
            FurtherModel(
                each.name,
                before if before is not None and before.sha256 == bundle.sha256 else bundle,
                engine,
                each.load == "on_request",
                each.max_accuracy_loss,
                used_by(config, each.name),
            )
        )
    return tuple(found)


def check_name(main: str, others: Iterable[str]) -> None:
    """Raises ModelNameError where one of the other models is called like the main one."""
    if main in others:
        raise ModelNameError(
            f"models: {main!r} is the name of the main model, the one that `bundle` names; give the other one"
            " another name"
        )


def used_by(config: AgentConfig, name: str) -> str:
    """What of agent.yaml asks a model, in words; empty for nothing."""
    users = [f"stream {each.name}" for each in config.streams if each.model == name]
    users += ["frigate"] if config.frigate is not None and config.frigate.model == name else []
    return ", ".join(users)
