"""Takes a bundle's content in: what is on the device already, then chunk by chunk over MQTT, or over HTTP."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from tidegate.content.chunk import CHUNK_BYTES, Chunk, ContentError, unpack
from tidegate.content.index import Index, Place, index_of, parse_index
from tidegate.models.bundle.extents import extents
from tidegate.models.errors import BundleError
from tidegate.supervisor.bundles.asking import patience_s, window
from tidegate.supervisor.bundles.staging import Staging
from tidegate.telemetry.heard import Heard
from tidegate.telemetry.link.backoff import Backoff
from tidegate.telemetry.payloads.bundle_envelope import BundlePush
from tidegate.telemetry.payloads.chunks import ChunksWanted

INDEX_FILE = "content.index"
"""On a web server, beside the bundle's files."""

Want = Callable[[Mapping[str, object] | None], None]


class Sink(Protocol):
    """What chunks are taken in for; for any thread."""

    @property
    def missing(self) -> tuple[Chunk, ...]:
        """What has not come yet."""

    def take(self, content: bytes) -> bool:
        """Keep a chunk; False for bytes that are not wanted. Raises OSError."""


class IndexPieces:
    """The chunks of an index, kept in memory: some kilobytes."""

    def __init__(self, chunks: tuple[Chunk, ...]) -> None:
        self._chunks = chunks
        self._content: dict[str, bytes] = {}

    @property
    def missing(self) -> tuple[Chunk, ...]:
        """What has not come yet, each once."""
        return tuple(dict.fromkeys(chunk for chunk in self._chunks if chunk.sha256 not in self._content))

    def take(self, content: bytes) -> bool:
        """Keep a chunk, if it is of this index."""
        sha256 = Chunk.of(content).sha256
        wanted = any(chunk.sha256 == sha256 for chunk in self.missing)
        if wanted:
            self._content[sha256] = content
        return wanted

    @property
    def content(self) -> bytes:
        """The whole index."""
        return b"".join(self._content[chunk.sha256] for chunk in self._chunks)


class Intake:
    """`receive` is called on MQTT's thread; all else is the loop's, one `bring_in` at a time.

    `want` retains what is asked for, `trouble` is told why content does not come, `share` how much is there (0 to
    1).
    """

    def __init__(
        self,
        want: Want,
        trouble: Callable[[str], None],
        share: Callable[[float], None],
        *,
        patience: Callable[[int], float] = patience_s,
        counts: Heard | None = None,
    ) -> None:
        self._want = want
        self._trouble = trouble
        self._share = share
        self._patience = patience
        self._counts = counts or Heard()
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._sink: Sink | None = None
        self._failure: OSError | None = None
        self._ask = 0

    def receive(self, packed: bytes) -> None:
        """Take a chunk that came over MQTT; bytes that nobody asked for are dropped."""
        sink = self._sink
        try:
            wanted = sink is not None and sink.take(unpack(packed))
        except ContentError:
            wanted = False
        except OSError as error:
            self._failure, wanted = error, True
        self._counts.note("chunk", "taken" if wanted else "refused")
        if wanted:
            self._loop.call_soon_threadsafe(self._arrived.set)

    def forget(self) -> None:
        """Ask for nothing any more, whatever was asked for before a stop."""
        self._want(None)

    async def bring_in(
        self, push: BundlePush, directory: Path, known: tuple[Path, ...], pause: Callable[[], Awaitable[None]]
    ) -> None:
        """Fill the directory with the pushed bundle's files; `known` are bundles that may have parts of it.

        `pause` returns once the push's condition holds, and is asked before each step.
        Raises OSError where the disk does, ContentError for an index that does not fit what was signed.
        """
        try:
            pieces = IndexPieces(push.index)
            await self._fill(push, pieces, pause, (0, push.size))
            index = parse_index(pieces.content, push.sizes)
            staging = Staging(directory, index)
            await asyncio.to_thread(staging.prepare)
            for bundle in known:
                await asyncio.to_thread(_take_known, staging, bundle)
            await self._fill(push, staging, pause, (staging.here, staging.size))
            await asyncio.to_thread(staging.seal)
        finally:
            self._sink = None
            self._want(None)

    async def _fill(
        self, push: BundlePush, sink: Sink, pause: Callable[[], Awaitable[None]], here_of: tuple[int, int]
    ) -> None:
        backoff, unanswered = Backoff(base_s=2.0, cap_s=600.0), 0
        self._sink, self._failure = sink, None
        while missing := sink.missing:
            await pause()
            if isinstance(sink, Staging) and sink.size:
                self._share(sink.here / sink.size)
            if push.source:
                await self._over_http(push, sink, backoff)
                continue
            self._ask += 1
            here = sink.here if isinstance(sink, Staging) else here_of[0]
            asked = window(missing)
            wanted = ChunksWanted(push.hash, tuple(each.sha256 for each in asked), self._ask, here, here_of[1])
            self._want(wanted.to_document())
            came = await self._wait_for(sink, asked, self._patience(unanswered))
            unanswered = 0 if came else unanswered + 1

    async def _wait_for(self, sink: Sink, asked: tuple[Chunk, ...], longest_s: float) -> bool:
        """Wait until all that was asked for has come, or nothing more comes; whether anything did."""
        came = False
        open_before = {each.sha256 for each in asked}
        while open_before:
            self._arrived.clear()
            if self._failure is not None:
                raise self._failure
            still = open_before & {each.sha256 for each in sink.missing}
            came, open_before = came or still != open_before, still
            if not still:
                break
            try:
                async with asyncio.timeout(self._patience(0) if came else longest_s):
                    await self._arrived.wait()
            except TimeoutError:
                break
        return came

    async def _over_http(self, push: BundlePush, sink: Sink, backoff: Backoff) -> None:
        """One attempt at all that is missing; a server that does not answer is asked again later."""
        from tidegate.supervisor.bundles import http_source  # noqa: PLC0415 - memory that a device without it saves

        places = sink.missing_places if isinstance(sink, Staging) else _places_of_index(push, sink.missing)
        stop = threading.Event()
        try:
            await asyncio.to_thread(http_source.fetch, push.source, places, sink.take, stop)
        except http_source.SourceError as error:
            self._trouble(str(error))
            await asyncio.sleep(backoff.failed())
        finally:
            stop.set()


def _places_of_index(push: BundlePush, missing: tuple[Chunk, ...]) -> tuple[Place, ...]:
    places, offset = [], 0
    for chunk in push.index:
        places.append(Place(INDEX_FILE, offset, chunk))
        offset += chunk.size
    return tuple(place for place in places if place.chunk in missing)


def _take_known(staging: Staging, bundle: Path) -> None:
    """What another bundle on this device has of it; one that can't be read has nothing."""
    try:
        index: Index = index_of(bundle, extents(bundle, CHUNK_BYTES))
    except (BundleError, OSError, ContentError):
        return
    staging.take_from(bundle, index.places())
