"""A model beside the main one: its key in agent.yaml with its bundle, opened and checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.config import AgentConfig, Model
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
    known = {each.bundle.path: each.bundle for each in opened}
    found = tuple(_opened(config, each, main, known) for each in config.models)
    for each in found:
        check_installed(each.engine)
    return found


def open_those_that_open(config: AgentConfig, main: str) -> tuple[tuple[FurtherModel, ...], Mapping[str, str]]:
    """The same at a start, which none of them is to hinder; and those that don't open, each with the reason."""
    found, left_out = [], {}
    for each in config.models:
        try:
            found.append(_opened(config, each, main, {}))
        except (TidegateError, OSError) as error:
            left_out[each.name] = str(error)
    return tuple(found), left_out


def _opened(config: AgentConfig, asked: Model, main: str, known: Mapping[Path, Bundle]) -> FurtherModel:
    check_name(main, (asked.name,))
    bundle = open_bundle(asked.bundle)
    before = known.get(bundle.path)
    return FurtherModel(
        asked.name,
        before if before is not None and before.sha256 == bundle.sha256 else bundle,
        asked.engine or config.worker.engine,
        asked.load == "on_request",
        asked.max_accuracy_loss,
        used_by(config, asked.name),
    )


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
