"""The choice among engines by what was measured."""

from tidegate.engines.runtime.choice import Trial, choose

LADDER = {"full": 0.0, "int8": 0.01}


def trials(**times: dict[str, float]) -> list[Trial]:
    return [Trial(engine, point, ms) for engine, points in times.items() for point, ms in points.items()]


def test_each_point_gets_its_fastest() -> None:
    choice = choose(LADDER, trials(onnx={"full": 9.0, "int8": 2.0}, eager={"full": 6.0, "int8": 3.0}))
    assert choice.engines == {"full": "eager", "int8": "onnx"}


def test_near_enough_everywhere_and_torch_stays_out() -> None:
    choice = choose(LADDER, trials(onnx={"full": 6.2, "int8": 2.0}, eager={"full": 6.0, "int8": 3.0}))
    assert choice.engines == {"full": "onnx", "int8": "onnx"}
    assert "no torch" in choice.reasons[0]


def test_a_point_that_onnx_cannot_run_brings_torch_in() -> None:
    refused = Trial("onnx", "int8", None, "can't: no such knob")
    measured = [*trials(onnx={"full": 6.2}, eager={"full": 6.0, "int8": 3.0}), refused]
    assert choose(LADDER, measured).engines == {"full": "eager", "int8": "eager"}


def test_reasons_name_every_engine_that_was_tried() -> None:
    failed = Trial("onnx", "full", None, "was killed by signal 8")
    (reason,) = choose({"full": 0.0}, [failed, *trials(eager={"full": 8.0})]).reasons
    assert reason == "full: eager (eager 8.00 ms; onnx was killed by signal 8)"


def test_a_point_that_none_can_run_is_left_out_and_said() -> None:
    choice = choose({"full": 0.0}, [Trial("eager", "full", None, "can't: no int4")])
    assert choice.engines == {}
    assert "no engine runs it" in choice.reasons[0]


NATIVE = {"full": 0.0, "int8-eager": 0.01, "int8-onnx": 0.01}


def test_an_engine_with_points_of_its_own_near_the_others_keeps_torch_out() -> None:
    choice = choose(NATIVE, trials(onnx={"full": 6.0, "int8-onnx": 2.05}, eager={"full": 6.1, "int8-eager": 2.0}))
    assert choice.engines == {"full": "onnx", "int8-onnx": "onnx"}
    assert "int8-eager: left out, as with onnx alone it is as fast" in choice.reasons[1]


def test_points_of_both_stay_when_neither_is_near_the_fastest_at_every_loss() -> None:
    choice = choose(NATIVE, trials(onnx={"full": 6.0, "int8-onnx": 2.5}, eager={"full": 7.1, "int8-eager": 2.0}))
    assert choice.engines == {"full": "onnx", "int8-eager": "eager", "int8-onnx": "onnx"}


def test_two_runtimes_without_torch_go_before_one_with_it() -> None:
    measured = trials(onnx={"full": 6.0, "int8": 3.0}, litert={"full": 9.0, "int8": 2.0}, eager={"full": 5.9})
    choice = choose(LADDER, measured)
    assert choice.engines == {"full": "onnx", "int8": "litert"}
    assert choice.reasons[0].endswith("so that no torch is loaded")


def test_one_runtime_goes_before_two_where_it_is_near_both() -> None:
    measured = trials(onnx={"full": 6.0, "int8": 2.05}, litert={"full": 6.2, "int8": 2.0})
    assert choose(LADDER, measured).engines == {"full": "onnx", "int8": "onnx"}
    measured = trials(onnx={"full": 6.0, "int8": 3.0}, litert={"full": 6.2, "int8": 2.0})
    assert choose(LADDER, measured).engines == {"full": "litert", "int8": "litert"}
