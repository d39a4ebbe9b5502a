"""What the supervisor asks of a worker as to further models: what clients unloaded, and what workers died of."""

from dataclasses import replace
from pathlib import Path

import pytest

from tidegate.config import load_config
from tidegate.errors import TidegateError
from tidegate.messages import FurtherModelState, ModelState, ModelStates
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.models.further_model import (
    FurtherModel,
    ModelNameError,
    check_name,
    open_models,
    open_those_that_open,
)
from tidegate.supervisor.models.model_board import DEATHS_HOLD, ModelBoard, same_but_points
from tidegate.supervisor.models.model_status import further_statuses
from tidegate.supervisor.worker.process import WorkerState

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
AGAIN = "mend that, and `tidegate reload` tries again"
SERVING = WorkerState.SERVING
PLATES = FurtherModel("plates", BUNDLE, "onnx")
FACES = FurtherModel("faces", BUNDLE, "onnx", on_request=True)


def said(
    state: ModelState, name: str = "plates", *, wanted: bool = True, failed: bool = False, reason: str = ""
) -> ModelStates:
    point = "full" if state is ModelState.READY else ""
    begun = state is ModelState.LOADING
    return ModelStates((FurtherModelState(name, BUNDLE.sha256, state, wanted, failed, begun, reason, point),))


def test_it_asks_for_all_from_the_full_point_on() -> None:
    plates, faces = ModelBoard((PLATES, FACES)).specs(held=False)
    assert (plates.name, plates.point, plates.wanted, plates.on_request) == ("plates", "full", True, False)
    assert (faces.on_request, faces.obstacle, faces.sample_shape) == (True, "", (1, 8, 8))


def test_the_next_worker_begins_where_the_last_one_was_and_without_what_clients_unloaded() -> None:
    board = ModelBoard((PLATES, FACES))
    board.aim("plates", "int8")
    board.take(said(ModelState.UNAVAILABLE, "faces", wanted=False, reason="unloaded by a client"))
    plates, faces = board.specs(held=False)
    assert (plates.point, plates.wanted, faces.wanted) == ("int8", True, False)
    board.take(said(ModelState.READY, "faces"))
    assert board.specs(held=False)[1].wanted, "a client loaded it again"
    board.aim("plates", "of another bundle")
    assert board.specs(held=False)[0].point == "full"


def test_a_model_that_workers_die_of_is_left_alone_until_a_reload() -> None:
    board = ModelBoard((PLATES,))
    for death in range(DEATHS_HOLD):
        assert board.specs(held=False)[0].obstacle == "", death
        board.take(said(ModelState.LOADING))
        board.worker_ended(unasked=True)
    assert "the worker ended 2 times while it was loaded" in board.specs(held=False)[0].obstacle
    board.use((PLATES,))
    assert board.specs(held=False)[0].obstacle == ""


def test_a_worker_that_ends_with_a_model_loaded_or_as_it_is_told_did_not_die_of_it() -> None:
    board = ModelBoard((PLATES,))
    for _ in range(DEATHS_HOLD):
        board.take(said(ModelState.LOADING))
        board.worker_ended(unasked=False)
    for _ in range(DEATHS_HOLD + 1):
        board.take(said(ModelState.LOADING))
        board.take(said(ModelState.READY))
        board.worker_ended(unasked=True)
    assert board.specs(held=False)[0].obstacle == ""
    assert board.states == {}


def test_while_workers_keep_ending_the_main_model_is_alone() -> None:
    board = ModelBoard((PLATES,))
    held, free = board.specs(held=True), board.specs(held=False)
    assert "workers keep ending" in held[0].obstacle
    assert not same_but_points(held, free), "the worker is told when that is over"
    board.aim("plates", "int8")
    assert same_but_points(free, board.specs(held=False)), "points it is told by switches"


@pytest.mark.parametrize(
    ("model", "message", "trouble"),
    [
        (PLATES, said(ModelState.UNAVAILABLE, failed=True, reason="no room"), f"plates: no room; {AGAIN}"),
        (PLATES, said(ModelState.UNAVAILABLE, wanted=False, reason="unloaded by a client"), None),
        (PLATES, said(ModelState.LOADING), None),
        (FACES, said(ModelState.UNAVAILABLE, "faces", reason="the first request loads it"), None),
        (
            FACES,
            said(ModelState.UNAVAILABLE, "faces", failed=True, reason="no room"),
            "faces: no room; the next request for it tries again",
        ),
    ],
)
def test_trouble_is_a_model_that_is_wanted_and_does_not_answer(
    model: FurtherModel, message: ModelStates, trouble: str | None
) -> None:
    board = ModelBoard((model,))
    board.take(message)
    assert board.trouble == trouble


def test_events_tell_of_what_changes_once() -> None:
    events: list[Event] = []
    board = ModelBoard((PLATES,), events.append)
    for _ in range(2):
        board.take(said(ModelState.LOADING))
        board.take(said(ModelState.READY))
        board.take(said(ModelState.READY))
    board.take(said(ModelState.LOADING))
    board.take(said(ModelState.UNAVAILABLE, failed=True, reason="its bundle is damaged"))
    assert [each.kind for each in events] == [EventKind.BUNDLE, EventKind.BUNDLE, EventKind.FAULT]
    assert events[-1].text == "model plates does not answer: its bundle is damaged"


def test_a_start_serves_without_the_models_that_do_not_open(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    named = {"gone": "gone", "digits": BUNDLE.path, "twin": BUNDLE.path}
    models = "".join(f"- {{name: {name}, bundle: {path}}}\n" for name, path in named.items())
    config.write_text(f"device: d\nbundle: x\npolicy: p\nlisten: {{unix: s}}\nmodels:\n{models}")
    loaded = load_config(config)
    found, left_out = open_those_that_open(loaded, "digits")
    assert [each.name for each in found] == ["twin"]
    assert "is not a directory" in left_out["gone"]
    assert "the name of the main model" in left_out["digits"]
    board = ModelBoard(found, left_out=left_out)
    assert str(board.trouble).startswith("gone: ")
    assert [each.name for each in further_statuses(board, None, {}, SERVING)] == ["twin", "gone", "digits"]
    board.use(found, left_out)
    assert str(board.trouble).startswith("gone: "), "a reload that was refused mends nothing"
    board.use(found)
    assert board.trouble is None
    with pytest.raises(TidegateError):
        open_models(loaded, "digits")


def test_no_model_has_the_main_ones_name() -> None:
    check_name("digits", ["plates"])
    with pytest.raises(ModelNameError, match="'digits' is the name of the main model"):
        check_name("digits", ["plates", "digits"])


def test_what_made_room_is_told_from_what_a_client_unloaded_and_from_what_failed() -> None:
    board = ModelBoard((FACES,), left_out={"lost": "is no directory"})

    def shown() -> str:
        return further_statuses(board, None, {}, SERVING)[0].load_state

    assert further_statuses(board, None, {}, SERVING)[1].load_state == "failed"
    gone = ModelState.UNAVAILABLE
    board.take(said(gone, "faces"))
    assert shown() == "unloaded", "nobody has asked for it yet"
    for ending, after in (({}, "evicted"), ({"wanted": False}, "unloaded"), ({"failed": True}, "failed")):
        board.take(said(ModelState.READY, "faces"))
        assert shown() == "loaded"
        board.take(said(gone, "faces", **ending))
        assert shown() == after


def test_it_says_what_to_do_about_what_failed() -> None:
    board = ModelBoard((PLATES, FACES), left_out={"lost": "is no directory"})
    failed, gone = {"failed": True, "reason": "no room"}, ModelState.UNAVAILABLE

    def why(name: str) -> str:
        return next(each.why for each in further_statuses(board, None, {}, SERVING) if each.name == name)

    board.take(ModelStates((*said(gone, **failed).models, *said(gone, "faces", **failed).models)))
    assert why("plates") == f"no room; {AGAIN}"
    assert why("faces") == "no room; the next request for it tries again"
    assert why("lost") == "is no directory; mend it, and `tidegate reload`"
    board.take(said(gone, wanted=False, reason="unloaded by a client"))
    assert why("plates") == "unloaded by a client"
    for _ in range(DEATHS_HOLD):
        board.take(said(ModelState.LOADING))
        board.worker_ended(unasked=True)
    obstacle = board.specs(held=False)[0].obstacle
    board.take(said(gone, failed=True, reason=obstacle))
    assert why("plates") == obstacle, "which says what to do"


def test_without_a_worker_those_are_loading_that_the_next_one_loads_by_itself() -> None:
    needed = replace(FACES, name="needed", used_by="stream door")
    board = ModelBoard((PLATES, FACES, needed))

    def shown(worker: WorkerState) -> list[str]:
        return [each.load_state for each in further_statuses(board, None, {}, worker)]

    assert shown(WorkerState.STARTING) == ["loading", "unloaded", "loading"]
    assert shown(WorkerState.ASLEEP) == ["unloaded"] * 3
    assert "asleep" in further_statuses(board, None, {}, WorkerState.ASLEEP)[0].why
    board.take(said(ModelState.UNAVAILABLE, wanted=False))
    board.worker_ended(unasked=True)
    assert shown(WorkerState.DOWN) == ["unloaded", "unloaded", "loading"], "a client's word holds"
