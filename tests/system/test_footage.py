"""An agent keeps frames if agent.yaml says so, shows how many, and deletes them all when it is to keep none."""

import stat
from collections.abc import Callable
from pathlib import Path

import yaml
from agent_process import AgentProcess
from here import Ended, tidegate_here

from tidegate.footage import kept
from tidegate.footage.frame_file import read_frame
from tidegate.footage.kept import Queue, kept_frames
from tidegate.models.bundle import open_bundle

StartAgent = Callable[..., AgentProcess]


def footage(agent: AgentProcess, *words: str) -> Ended:
    return tidegate_here("footage", *words, "--config", agent.config)


def ask_a_clip(agent: AgentProcess, directory: Path, pixels: list[int]) -> None:
    """Until another frame is kept: a clip is written when it is over."""
    before = len(kept_frames(directory, Queue.SAMPLE))
    assert agent.ask(pixels)[0] == 200
    agent.wait_until(lambda _: len(kept_frames(directory, Queue.SAMPLE)) > before)


def test_frames_are_kept_only_while_agent_yaml_says_so(start_agent: StartAgent) -> None:
    agent = start_agent(footage={"max_size": "4 MiB", "clip": "100 ms"})
    directory = agent.state_dir / kept.DIRECTORY
    raw = open_bundle(agent.bundle).samples().raw
    for picture in raw[:3]:
        ask_a_clip(agent, directory, [int(value) for value in picture.ravel()])
    frames = kept_frames(directory, Queue.SAMPLE)
    assert {stat.S_IMODE(each.path.stat().st_mode) for each in frames} == {0o600}
    scale = open_bundle(agent.bundle).input.scale
    found = sorted(read_frame(each.path).values.tobytes() for each in frames)
    assert found == sorted((picture.astype("f4") * scale).astype("f4").tobytes() for picture in raw[:3])
    assert agent.wait_until(lambda status: status.footage is not None and status.footage.sampled == 3, 30.0)
    assert "3 clips and 0 disagreements" in footage(agent, "show").stdout
    assert "footage" in tidegate_here("status", "--config", agent.config).stdout
    assert "3 frames deleted" in footage(agent, "clear").stdout
    agent.wait_until(lambda _: not directory.exists())
    ask_a_clip(agent, directory, [8] * 64)
    document = yaml.safe_load(agent.config.read_text())
    del document["footage"]
    agent.config.write_text(yaml.safe_dump(document))
    reloaded = tidegate_here("reload", "--config", agent.config)
    assert "none is kept, and what there was is deleted" in reloaded.stdout
    assert not directory.exists()
    assert agent.ask([8] * 64)[0] == 200
    assert "off: " in footage(agent, "show").stdout
    assert agent.status().footage is None
