"""Whether SQLite's write-ahead log has lost transactions: all behind a damaged frame goes without a word."""

import struct
from pathlib import Path

from tidegate.files import read_file

# sqlite.org/fileformat2.html, section 4.1.
_HEADER = struct.Struct(">IIIIIIII")
_FRAME = struct.Struct(">IIIIII")
_MAGIC = frozenset({0x377F0682, 0x377F0683})


def lost_commits(wal: Path, recovered_frames: int, *, in_use: bool) -> bool:
    """True if the log beside a database holds a commit that recovery did not reach, or can't be read at all.

    So it is when the log of a database that was not closed in order (`in_use`) is missing, empty or cut short.
    Frames of this generation carry the header's salts; the last of a transaction tells the database's size.
    """
    try:
        log = read_file(wal)
    except FileNotFoundError:
        return in_use
    except OSError:
        return True
    head, frames = log[: _HEADER.size], log[_HEADER.size :]
    if not head:
        return in_use
    if len(head) < _HEADER.size:
        return True
    magic, _, page_bytes, _, *salts, _, _ = _HEADER.unpack(head)
    if magic not in _MAGIC or page_bytes not in {2**n for n in range(9, 17)} or not _sound(head):
        return True
    cut_short = len(frames) % (_FRAME.size + page_bytes) != 0
    return cut_short or _commit_after(frames, page_bytes, tuple(salts), recovered_frames)


def _commit_after(frames: bytes, page_bytes: int, salts: tuple[int, ...], recovered: int) -> bool:
    step = _FRAME.size + page_bytes
    for start in range(recovered * step, len(frames) - step + 1, step):
        _, size_after_commit, *found, _, _ = _FRAME.unpack_from(frames, start)
        # One salt is enough: the other may be what was damaged. An older generation differs in both.
        if size_after_commit and any(one == other for one, other in zip(found, salts, strict=True)):
            return True
    return False


def _sound(head: bytes) -> bool:
    """The header's checksum, whose byte order is in the magic number's last bit."""
    first = second = 0
    order = ">" if head[3] & 1 else "<"
    for one, other in struct.iter_unpack(f"{order}II", head[:24]):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return (first, second) == struct.unpack(">II", head[24:32])
