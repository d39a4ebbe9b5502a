"""What is counted on: a user's data, or the frames that a device has kept. Read by parts that fit into memory."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from tidegate.calibration.data.datasets import DataError, Dataset
from tidegate.calibration.recertify.kept_labels import read_kept_labels
from tidegate.errors import EX_DATAERR
from tidegate.footage.frame_file import FrameError, read_frame
from tidegate.footage.kept import DIRECTORY, KeptFrame, Queue, kept_frames
from tidegate.footage.store import read_sampling
from tidegate.models.bundle.evidence import Floats, Indices, Objects, Raw, scaled

PART_BYTES = 64 << 20
"""Of inputs that are in memory at once."""


class FrameGoneError(DataError):
    """A kept frame has made room for others since it was listed."""

    exit_code = EX_DATAERR


class Inputs(Protocol):
    """Inputs (n, *input shape) as a network takes them, with what is known of them."""

    @property
    def name(self) -> str:
        """What a certificate calls them."""

    @property
    def files(self) -> tuple[str, ...]:
        """Their own, (n,); empty where one holds all."""

    @property
    def moving(self) -> bool:
        """Whether others stand in their places the next time: then their files say which they are."""

    @property
    def labels(self) -> Indices | None:
        """(n,), -1 where none is known; None where none is."""

    @property
    def objects(self) -> Objects | None:
        """A detector's; None where none are known."""

    @property
    def sha256(self) -> str:
        """Over all of them."""

    def __len__(self) -> int: ...

    def picture(self, place: int) -> Raw:
        """One of them as it is shown. Raises DataError."""

    def parts(self) -> Iterator[Floats]:
        """All of them in order. Raises DataError."""


@dataclass(frozen=True, slots=True)
class DatasetInputs:
    """A user's data."""

    data: Dataset

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def files(self) -> tuple[str, ...]:
        return self.data.files

    @property
    def moving(self) -> bool:
        return False

    @property
    def labels(self) -> Indices | None:
        return self.data.labels

    @property
    def objects(self) -> Objects | None:
        return self.data.objects

    @property
    def sha256(self) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.data.inputs).tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.data.inputs)

    def picture(self, place: int) -> Raw:
        picture: Raw = self.data.inputs[place]
        return picture

    def parts(self) -> Iterator[Floats]:
        # As whole as they are already.
        yield scaled(self.data.inputs, self.data.scale)


@dataclass(frozen=True, slots=True)
class KeptInputs:
    """Frames of one queue, oldest first; `given` are labels by file that somebody has given before."""

    name: str
    frames: Sequence[KeptFrame]
    given: Mapping[str, int] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(frame.name for frame in self.frames)

    @property
    def moving(self) -> bool:
        return True

    @property
    def labels(self) -> Indices | None:
        if not any(name in self.given for name in self.files):
            return None
        return np.array([self.given.get(name, -1) for name in self.files], np.int64)

    @property
    def objects(self) -> Objects | None:
        return None

    @property
    def sha256(self) -> str:
        """Over the names of the files, which nothing but their content is ever written under."""
        return hashlib.sha256("\n".join(self.files).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.frames)

    def picture(self, place: int) -> Floats:
        path = self.frames[place].path
        try:
            return read_frame(path).values
        except FileNotFoundError as error:
            raise FrameGoneError(f"{path}: is gone: frames come and go, look at another") from error
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; frames are read as the agent's user or root") from error
        except FrameError as error:
            raise DataError(f"{error}; delete it") from error

    def parts(self) -> Iterator[Floats]:
        for _, part in self.parts_there():
            yield part

    def parts_there(self) -> Iterator[tuple[Sequence[KeptFrame], Floats]]:
        """Those that are still there when their turn comes, in order. Raises DataError for what can't be read."""
        frames: list[KeptFrame] = []
        waiting: list[Floats] = []
        for place, frame in enumerate(self.frames):
            try:
                values = self.picture(place)
            except FrameGoneError:
                continue
            if waiting and values.shape != waiting[0].shape:
                raise DataError(
                    f"{frame.path}: is of another shape than those before it, as of another bundle;"
                    " `tidegate footage clear` begins anew"
                )
            frames.append(frame)
            waiting.append(values)
            if sum(each.nbytes for each in waiting) >= PART_BYTES:
                yield frames, np.stack(waiting)
                frames, waiting = [], []
        if waiting:
            yield frames, np.stack(waiting)


@dataclass(frozen=True, slots=True)
class Footage:
    """What a device has kept: the even sample, and apart from it what shadow runs found points to differ on."""

    directory: Path
    sample: KeptInputs
    apart: KeptInputs

    @property
    def whole(self) -> KeptInputs:
        """The sample, then the others."""
        return KeptInputs(self.sample.name, (*self.sample.frames, *self.apart.frames), self.sample.given)


def read_footage(directory: Path) -> Footage:
    """The frames in a state directory, or in a copy of its footage. Raises DataError where there are none."""
    inner = directory / DIRECTORY
    directory = inner if inner.is_dir() else directory
    bound = read_sampling(directory).even_below
    sample = tuple(frame for frame in kept_frames(directory, Queue.SAMPLE) if frame.key < bound)
    if not sample:
        raise DataError(
            f"{directory}: no frames are kept there; `footage` in agent.yaml has the agent keep some, and they "
            "are read as its user or root"
        )
    given = read_kept_labels(directory)
    first, last = (datetime.fromtimestamp(frame.at_s, UTC) for frame in (sample[0], sample[-1]))
    name = f"footage of {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    apart = kept_frames(directory, Queue.DISAGREEMENTS)
    return Footage(directory, KeptInputs(name, sample, given), KeptInputs(name, apart, given))


def point_of(frame: KeptFrame) -> str:
    """The point that differed on a frame of the disagreements; empty where that can't be read."""
    try:
        return read_frame(frame.path).point
    except (OSError, FrameError):
        return ""
