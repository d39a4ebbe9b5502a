"""A bundle's content from a directory on a web server: ranges of its files, each chunk held against its hash."""

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from tidegate.content.index import Place
from tidegate.errors import EX_UNAVAILABLE, TidegateError

TIMEOUT_S = 30.0
_NO_RANGES, _RANGE = 200, 206


class SourceError(TidegateError):
    """The server can't be reached, or does not have what it should."""

    exit_code = EX_UNAVAILABLE


def fetch(source: str, places: Sequence[Place], take: Callable[[bytes], bool], stop: threading.Event) -> None:
    """Fetch the chunks of these places and hand each over; blocks. Raises SourceError; what was taken stays taken.

    `take` gets bytes that the server sent, whatever they are, and says whether they were wanted.
    """
    for run in _runs(places):
        if stop.is_set():
            return
        address = f"{source.rstrip('/')}/{run[0].file}"
        try:
            _fetch_run(address, run, take, stop)
        except urllib.error.HTTPError as error:
            raise SourceError(f"{address}: the server answers {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise SourceError(f"{address}: {reason}") from None


def _runs(places: Sequence[Place]) -> Iterator[tuple[Place, ...]]:
    """Places that follow on each other in one file: one request each."""
    ordered = sorted(set(places), key=lambda place: (place.file, place.offset))
    begin = 0
    for at, (one, next_one) in enumerate(pairwise(ordered), start=1):
        if one.file != next_one.file or one.offset + one.chunk.size != next_one.offset:
            yield tuple(ordered[begin:at])
            begin = at
    if ordered:
        yield tuple(ordered[begin:])


def _fetch_run(address: str, run: Sequence[Place], take: Callable[[bytes], bool], stop: threading.Event) -> None:
    first, last = run[0].offset, run[-1].offset + run[-1].chunk.size - 1
    request = urllib.request.Request(address, headers={"Range": f"bytes={first}-{last}"})  # noqa: S310 - http(s) alone, checked with the signed manifest
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
        if answer.status not in {_RANGE, _NO_RANGES}:
            raise SourceError(f"{address}: the server answers {answer.status}; allowed is 206 or 200")
        if answer.status == _NO_RANGES:
            _skip(answer, first)
        for place in run:
            if stop.is_set():
                return
            content = answer.read(place.chunk.size)
            if not place.chunk.names(content):
                raise SourceError(f"{address}: bytes {place.offset} and on are not those that were signed")
            take(content)


def _skip(answer: http.client.HTTPResponse, count: int) -> None:
    """Read over what was not asked for: this server knows no ranges."""
    while count > 0:
        piece = answer.read(min(count, 1 << 16))
        if not piece:
            return
        count -= len(piece)
