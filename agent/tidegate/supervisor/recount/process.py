"""Runs the process that counts, and reads what it says."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tidegate import child

LONGEST_S = 3600.0
LIMIT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class PointCount:
    """Of a point: failures on all frames, disagreements on recent ones, whether its certificate was reached."""

    failures: int
    recent_differs: int
    holds: bool | None


@dataclass(frozen=True, slots=True)
class Counted:
    """What a count came to: on `inputs` frames, `recent` of them new, the newest of `newest_s`; or an `error`."""

    error: str = ""
    engine: str = ""
    inputs: int = 0
    recent: int = 0
    newest_s: int = 0
    points: dict[str, PointCount] = field(default_factory=dict)


@cache
def _counted() -> TypeAdapter[Counted]:
    return TypeAdapter(Counted)


async def count(
    bundle: Path, engine: str, cache_dir: Path | None, footage: Path, since_s: int, certificate: Path | None
) -> Counted:
    """Wait for it; the process ends with this call, whatever ends it."""
    arguments = (str(bundle), engine, str(cache_dir or ""), str(footage), str(since_s), str(certificate or ""))
    try:
        process = await asyncio.create_subprocess_exec(
            *child.command("tidegate.calibration.recertify.recount", *arguments),
            env=child.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            limit=LIMIT_BYTES,
        )
    except OSError as error:
        return Counted(error=f"it can't be started: {error.strerror}")
    try:
        async with asyncio.timeout(LONGEST_S):
            said, _ = await process.communicate()
        return _counted().validate_json(said)
    except TimeoutError:
        return Counted(error=f"it took more than {LONGEST_S / 60:.0f} minutes")
    except ValidationError:
        return Counted(error=f"it ended with {process.returncode}; the log says more")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
