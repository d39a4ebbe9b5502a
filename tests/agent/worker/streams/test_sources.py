"""Frames from real folders, pipes and video files; and lines into files that move."""

import base64
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs Pillow")

from PIL import Image

from tidegate.messages import StreamSpec
from tidegate.worker.streams import folder as folder_module
from tidegate.worker.streams.camera import Camera
from tidegate.worker.streams.folder import Folder
from tidegate.worker.streams.frame import Frame
from tidegate.worker.streams.line import frame_of_line
from tidegate.worker.streams.line_sink import LineSink
from tidegate.worker.streams.line_source import LineSource
from tidegate.worker.streams.source import BadFrame, Source, SourceGone
from tidegate.worker.streams.source_in_words import source_in_words

SHAPE = (3, 16, 16)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "LOOK_S", 0.02)


def png(value: int) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (20, 16), (value, value, value)).save(written, "PNG")
    return written.getvalue()


def read(source: Source, count: int, due: Callable[[], bool] = lambda: True) -> list[Frame | BadFrame | None]:
    """So many frames, within a while."""
    stop = threading.Event()
    ending = threading.Timer(20, stop.set)
    ending.start()
    found: list[Frame | BadFrame | None] = []
    for each in source.frames(stop, due):
        found.append(each)
        if len(found) == count:
            break
    ending.cancel()
    stop.set()
    return found


def test_new_files_are_frames_once_they_are_whole(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_bytes(png(1))
    source = Folder(tmp_path, SHAPE)
    stop = threading.Event()
    frames = source.frames(stop, lambda: True)

    def write() -> None:
        time.sleep(0.1)
        (tmp_path / "note.txt").write_text("no picture")
        (tmp_path / "a.png").write_bytes(png(2))
        with (tmp_path / "b.JPG").open("wb") as file:
            for piece in (png(3)[:40], png(3)[40:]):
                file.write(piece)
                file.flush()
                time.sleep(0.01)
        (tmp_path / "c.png").write_bytes(b"damaged")

    thread = threading.Thread(target=write)
    thread.start()
    first, second, third = next(frames), next(frames), next(frames)
    thread.join(10)
    assert isinstance(first, Frame)
    assert (first.origin, int(first.values[0, 0, 0])) == ("a.png", 2)
    assert isinstance(second, Frame)
    assert (second.origin, int(second.values[0, 0, 0])) == ("b.JPG", 3)
    assert isinstance(third, BadFrame)
    assert "c.png: no picture that can be read" in str(third)
    (tmp_path / "a.png").write_bytes(png(9))
    again = next(frames)
    assert isinstance(again, Frame)
    assert int(again.values[0, 0, 0]) == 9, "written anew"
    stop.set()


def test_what_is_no_file_of_a_folder_hides_none_of_the_others(tmp_path: Path) -> None:
    source = Folder(tmp_path, SHAPE)
    stop = threading.Event()
    frames = source.frames(stop, lambda: True)

    def write() -> None:
        time.sleep(0.1)
        for number in range(9):
            (tmp_path / f"{number}.link.png").symlink_to(tmp_path / "nowhere")
            (tmp_path / f"{number}.loop.png").symlink_to(tmp_path / f"{number}.loop.png")
        (tmp_path / "a.png").mkdir()
        time.sleep(0.02)
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.png")).write_bytes(png(3))

    thread = threading.Thread(target=write)
    thread.start()
    first, second = next(frames), next(frames)
    thread.join(10)
    assert isinstance(first, BadFrame)
    assert str(first).startswith("a.png: ")
    assert isinstance(second, Frame)
    assert second.origin == "b\ufffd.png"
    stop.set()


def test_a_disk_that_is_full_is_named() -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        LineSink(Path("/dev/full")).write(b"{}\n")


def test_a_folder_that_goes_away_and_returns(tmp_path: Path) -> None:
    path = tmp_path / "pictures"
    source = Folder(path, SHAPE)
    with pytest.raises(SourceGone, match="there is no such folder"):
        read(source, 1)
    path.mkdir()
    threading.Timer(0.2, lambda: (path / "a.png").write_bytes(png(5))).start()
    (found,) = read(source, 1)
    assert isinstance(found, Frame)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[LineSource, Callable[[bytes], None]]]:
    path = tmp_path / "frames.pipe"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)

    def write(content: bytes) -> None:
        threading.Thread(target=os.write, args=(held, content), daemon=True).start()

    yield LineSource(path, (1, 2, 2)), write
    os.close(held)


def test_lines_are_frames_or_say_what_is_wrong(pipe: tuple[LineSource, Callable[[bytes], None]]) -> None:
    source, write = pipe
    picture = base64.b64encode(png(7)).decode()
    lines: list[object] = [
        {"id": "a", "data": [0, 1, 2, 255]},
        {"data": [0.5, 1, 2, -3.25], "datatype": "FP32"},
        {"picture": picture},
        {"data": [1, 2]},
        {"data": [0, 1, 2, 256]},
        {"data": [0, 1, 2, 0.5]},
        {"data": [0, 1, 2, 1e300], "datatype": "FP32"},
        {},
        {"picture": "x"},
        {"picture": base64.b64encode(b"x").decode()},
        [],
        {"data": [0, 1, 2, 3], "other": 1},
    ]
    write(b"".join(json.dumps(line).encode() + b"\n" for line in lines) + b"{\n")
    found = read(source, len(lines) + 1)
    frames = [each for each in found if isinstance(each, Frame)]
    assert [(each.origin, each.values.ravel().tolist()) for each in frames] == [
        ("a", [0, 1, 2, 255]),
        ("line 2", [0.5, 1, 2, -3.25]),
        ("line 3", [7, 7, 7, 7]),
    ]
    said = [str(each) for each in found if isinstance(each, BadFrame)]
    assert len(said) == len(lines) - 2
    for each, words in zip(
        said,
        (
            "line 4.data: found 2 values, allowed are 4",
            "whole numbers from 0 to 255",
            "whole numbers from 0 to 255",
            "value 3 is 1e+300, not finite",
            "one of `data` and `picture`",
            "",
            "no picture that can be read",
            "line 11: ",
            "other: is not known here",
            "Invalid JSON",
        ),
        strict=True,
    ):
        assert words in each


def test_a_line_without_an_end_costs_no_memory(
    pipe: tuple[LineSource, Callable[[bytes], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, write = pipe
    monkeypatch.setattr(source, "_longest", 1000)
    write(b"[" * 200_000 + b"\n" + json.dumps({"data": [1, 2, 3, 4]}).encode() + b"\n")
    bad, good = read(source, 2)
    assert isinstance(bad, BadFrame)
    assert "too long" in str(bad)
    assert isinstance(good, Frame)


def test_a_pipe_is_made_and_a_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceGone, match="no named pipe"):
        read(LineSource(tmp_path / "file", SHAPE), 1)
    with pytest.raises(SourceGone, match="No such file"):
        read(LineSource(tmp_path / "none" / "pipe", SHAPE), 1)


def film(path: Path, frames: int) -> None:
    """A second of video has ten frames, each a bit brighter."""
    av = pytest.importorskip("av", reason="needs the extra video")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            pixels = np.full((48, 64, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_film_is_played_and_comes_to_its_end(tmp_path: Path, channels: int) -> None:
    film(tmp_path / "film.mp4", 6)
    camera = Camera(str(tmp_path / "film.mp4"), (channels, 16, 16))
    began_s = time.monotonic()
    found: list[Frame | BadFrame | None] = []
    with pytest.raises(SourceGone, match=r"film\.mp4: it has come to its end"):
        found.extend(camera.frames(threading.Event(), iter([True, True, False, True, True, True]).__next__))
    assert time.monotonic() - began_s >= 0.4, "at its own pace"
    assert [each is None for each in found] == [False, False, True, False, False, False]
    frames = [each for each in found if isinstance(each, Frame)]
    assert [each.origin for each in frames] == ["0", "1", "3", "4", "5"]
    assert all(each.values.shape == (channels, 16, 16) for each in frames)
    means = [float(each.values.mean()) for each in frames]
    assert means == pytest.approx([0, 20, 60, 80, 100], abs=8)


def test_what_is_no_video_is_gone(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra video")
    (tmp_path / "film.mp4").write_text("no film")
    for address, said in ((str(tmp_path / "film.mp4"), "Invalid data"), ("/dev/video99", "No such file")):
        with pytest.raises(SourceGone, match=said):
            read(Camera(address, SHAPE), 1)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (StreamSpec("a", camera="rtsp://me:secret@cam:554/live"), "camera rtsp://cam:554/live"),
        (StreamSpec("a", camera="/dev/video0"), "camera /dev/video0"),
        (StreamSpec("a", camera="rtsp://me:secret@["), "camera whose address can't be read"),
        (StreamSpec("a", folder="/pictures"), "folder /pictures"),
        (StreamSpec("a", lines="/run/pipe"), "pipe /run/pipe"),
        (StreamSpec("a", topic="cameras/+/door"), "topic cameras/+/door"),
    ],
)
def test_a_source_is_said_without_a_password(spec: StreamSpec, said: str) -> None:
    assert source_in_words(spec) == said


def test_lines_go_to_the_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    sink = LineSink(path)
    sink.write(b"1\n")
    path.rename(tmp_path / "answers.jsonl.1")
    sink.write(b"2\n")
    path.unlink()
    sink.write(b"3\n")
    sink.close()
    assert (tmp_path / "answers.jsonl.1").read_text() == "1\n"
    assert path.read_text() == "3\n"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device"):
        LineSink(pipe).write(b"4\n")
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        LineSink(tmp_path / "link").write(b"5\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"nonsense", "line 7: Invalid JSON"),
        (b"{}", "line 7: allowed is one of `data` and `picture`"),
        (b'{"data": "x"}', "line 7: data: must be"),
    ],
)
def test_a_line_that_is_no_frame_is_refused_with_where_it_stands(line: bytes, said: str) -> None:
    refused = frame_of_line(line, SHAPE, "line 7")
    assert isinstance(refused, BadFrame)
    assert str(refused).startswith(said)
