"""Triton's system shared memory extension: regions that clients share with the worker, by name.

What lies in a region is read and written as a file is, never mapped: a client that cuts its region short would end
a process that has it mapped.
"""

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tidegate.validation_words import in_words
from tidegate.worker.protocol.refusals import BadRequest, NotFound, shown
from tidegate.worker.protocol.request import RegionPart

DIRECTORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
MAX_REGIONS = 64
"""Each holds a file open."""
MAX_NAME_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class _Region:
    file: int
    key: str
    offset: int
    size: int


class _Registration(BaseModel):
    """The body of POST /v2/systemsharedmemory/region/{name}/register; sizes in bytes."""

    model_config = ConfigDict(extra="ignore", strict=True)

    key: str
    offset: int = Field(0, ge=0)
    byte_size: int = Field(gt=0)


class SharedMemory:
    """The regions that are registered. Safe to use from several threads."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory
        self._regions: dict[str, _Region] = {}
        self._lock = Lock()  # no file is closed while it is read

    def register(self, name: str, body: bytes) -> None:
        """Register a region. Raises BadRequest for one that is there, can't be opened or is too small."""
        if not self._directory.is_dir():
            raise BadRequest(f"region {shown(name)}: no shared memory on {sys.platform}; allowed is binary data")
        if name in self._regions:
            raise BadRequest(f"region {shown(name)}: it is registered already; unregister it first")
        if len(self._regions) >= MAX_REGIONS or len(name) > MAX_NAME_CHARACTERS:
            raise BadRequest(
                f"region {shown(name)}: {len(self._regions)} are registered; allowed are {MAX_REGIONS}, with names"
                f" of up to {MAX_NAME_CHARACTERS} characters"
            )
        try:
            asked = _Registration.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            raise BadRequest(f"{where}: {in_words(first['msg'])}; found {shown(first['input'])}") from None
        file = self._open(asked.key)
        size = os.fstat(file).st_size
        if asked.offset + asked.byte_size > size:
            os.close(file)
            raise BadRequest(
                f"byte_size: found {asked.byte_size} from offset {asked.offset}, {shown(asked.key)} has"
                f" {size} bytes"
            )
        self._regions[name] = _Region(file, asked.key, asked.offset, asked.byte_size)

    def unregister(self, name: str | None) -> None:
        """Forget a region, or all of them with None; one that is not there is no error, as in Triton."""
        for each in [*self._regions] if name is None else [name]:
            with self._lock:
                if (region := self._regions.pop(each, None)) is not None:
                    os.close(region.file)

    def status(self, name: str | None) -> list[dict[str, Any]]:
        """The regions, or the one of that name. Raises NotFound."""
        if name is not None:
            self._named(name)
        return [
            {"name": each, "key": region.key, "offset": region.offset, "byte_size": region.size}
            for each, region in self._regions.items()
            if name in {None, each}
        ]

    def read(self, part: RegionPart) -> bytearray:
        """What lies there now. Raises BadRequest."""
        found = bytearray(part.size)
        with self._lock:
            region = self._checked(part)
            size = os.preadv(region.file, [found], region.offset + part.offset)
        if size != part.size:
            raise BadRequest(f"region {shown(part.region)}: it was cut short since it was registered")
        return found

    def write(self, part: RegionPart, data: bytes) -> None:
        """Put `data` there. Raises BadRequest."""
        with self._lock:
            region = self._checked(part)
            start = region.offset + part.offset
            if os.fstat(region.file).st_size < start + len(data):
                raise BadRequest(f"region {shown(part.region)}: it was cut short since it was registered")
            try:
                os.pwrite(region.file, data, start)
            except OSError as error:
                raise BadRequest(f"region {shown(part.region)}: {error.strerror}") from None

    def _open(self, key: str) -> int:
        name = key.removeprefix("/")
        if not name or "/" in name or "\0" in name or name in {".", ".."} or len(name) > MAX_NAME_CHARACTERS:
            raise BadRequest(f"key: found {shown(key)}, a name as of shm_open belongs there, such as '/pictures'")
        try:
            # Non-blocking: a pipe of that name would hold up everybody else.
            file = os.open(self._directory / name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no name for a file"
            raise BadRequest(f"key: {shown(key)} can't be opened for reading and writing: {reason}") from None
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise BadRequest(f"key: {shown(key)} is no shared memory")
        return file

    def _named(self, name: str) -> _Region:
        if (region := self._regions.get(name)) is None:
            raise NotFound(f"region {shown(name)}: not registered; {len(self._regions)} others are")
        return region

    def _checked(self, part: RegionPart) -> _Region:
        if (region := self._regions.get(part.region)) is None:
            raise BadRequest(f"shared_memory_region: found {shown(part.region)}, no such region is registered")
        if part.offset + part.size > region.size:
            raise BadRequest(
                f"shared_memory_byte_size: found {part.size} from offset {part.offset}, region"
                f" {shown(part.region)} has {region.size} bytes"
            )
        return region
