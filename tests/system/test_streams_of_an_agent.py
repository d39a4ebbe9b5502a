"""An agent that reads streams by itself: frames in, answers out, through a killed worker, and counted."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from agent_process import BUNDLE, AgentProcess

pytest.importorskip("PIL", reason="needs Pillow")

from PIL import Image

from tidegate.models.bundle import open_bundle

RAW = open_bundle(BUNDLE).samples().raw[:6].astype(np.uint8)


def answers(path: Path, count: int) -> list[dict[str, object]]:
    """So many lines, as soon as they are there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= count:
            return [json.loads(line) for line in lines]
        time.sleep(0.05)
    raise AssertionError(f"{path}: not {count} lines: {lines}")


def test_frames_become_lines(start_agent: Callable[..., AgentProcess], tmp_path: Path) -> None:
    pictures, pipe = tmp_path / "pictures", tmp_path / "frames.pipe"
    pictures.mkdir()
    folder_out, lines_out = tmp_path / "folder.jsonl", tmp_path / "lines.jsonl"
    agent = start_agent(
        streams=[
            {
                "name": "folder",
                "from": {"folder": "pictures"},
                "to": {"lines": "folder.jsonl"},
                "frames_per_second": 100,
            },
            {
                "name": "lines",
                "from": {"lines": str(pipe)},
                "to": {"lines": str(lines_out), "outputs": "all"},
                "frames_per_second": 100,
                "motion": "5 %",
            },
        ]
    )
    _, reply = agent.ask(RAW.ravel().tolist())
    logits = np.array(reply["outputs"][0]["data"]).reshape(len(RAW), -1)  # type: ignore[index] - as it is
    for index, raw in enumerate(RAW[:3]):
        Image.fromarray(raw[0]).save(pictures / f"{index}.png")
    by_frame = {each["frame"]: each for each in answers(folder_out, 3)}
    assert {name: each["label"] for name, each in by_frame.items()} == {
        f"{index}.png": str(logits[index].argmax()) for index in range(3)
    }
    assert by_frame["0.png"]["operating_point"] == "full"
    assert by_frame["0.png"]["certified_risk"] == 0.0
    with os.fdopen(os.open(pipe, os.O_WRONLY), "w") as writing:
        for index in (0, 0, 0, 1):
            writing.write(json.dumps({"id": f"n{index}", "data": RAW[index].ravel().tolist()}) + "\n")
        writing.write("no frame\n")
    found = answers(lines_out, 2)
    assert [each["frame"] for each in found] == ["n0", "n1"], "what does not move is left out"
    assert np.allclose([each["outputs"] for each in found], logits[:2], atol=1e-4)
    agent.kill_worker()
    Image.fromarray(RAW[4][0]).save(pictures / "before.png")
    agent.wait_until(lambda status: status.worker.restarts == 1 and status.worker.state == "serving")
    time.sleep(1.5)
    Image.fromarray(RAW[5][0]).save(pictures / "after.png")
    last = answers(folder_out, 4)[-1]
    assert (last["frame"], last["label"]) == ("after.png", str(logits[5].argmax()))
    status = agent.wait_until(
        lambda status: (
            status.served is not None and any(each.last_frame_at is not None for each in status.served.streams)
        )
    )
    assert status.served is not None
    assert {each.name: each.problem for each in status.served.streams} == {"folder": "", "lines": ""}
    sources = {each.name: each.source for each in status.served.streams}
    assert sources == {"folder": f"folder {pictures}", "lines": f"pipe {pipe}"}
    # The new worker has seen a picture, and no line.
    assert [each.last_frame_at is not None for each in status.served.streams] == [True, False]
