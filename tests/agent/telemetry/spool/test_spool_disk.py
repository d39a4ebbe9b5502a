"""The spool on real small, full and read-only disks, and the bound on what it takes of one."""

import random
from pathlib import Path

import pytest
from small_disk import run_on_small_disk

from tidegate.telemetry.spool import BEYOND_BYTES, MAX_ROW_BYTES, Spool

NOW = 1_750_000_000.0


def on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.glob("spool.db*"))


@pytest.mark.parametrize("sizes", [(10, 200), (1500, 2600), (10, 9000), (30_000, MAX_ROW_BYTES + 1000)])
def test_files_stay_within_the_documented_bound(quick_path: Path, sizes: tuple[int, int]) -> None:
    chance = random.Random(7)
    path = quick_path / "spool.db"
    max_bytes = 1 << 20
    spool = Spool(path, max_bytes, 3600.0)
    most = put = 0
    # What is acknowledged at first leaves room. For the last quarter it is full: each row makes others give way.
    while put < 2 * max_bytes:
        size = chance.randint(*sizes)
        spool.put("t", {"text": "x" * size}, NOW + put / 1000)
        put += size + 100
        most = max(most, on_disk(path))
        if put < max_bytes and chance.random() < 0.1:
            spool.acknowledge(*(row.seq for row in spool.after(0, 5)))
    assert most <= max_bytes + BEYOND_BYTES
    counters = spool.counters
    assert counters is not None
    assert counters.dropped["full"] > 0
    assert counters.waiting_bytes > max_bytes / 3, "the bound is not bought by keeping next to nothing"
    # All at once too old: one transaction each batch, so that the log stays small.
    spool.expire(NOW + 10**7)
    assert on_disk(path) <= max_bytes + BEYOND_BYTES
    assert spool.after(0, 1) == ()
    spool.close()


def test_log_of_an_empty_spool_never_fills_a_small_disk(tmp_path: Path) -> None:
    said = run_on_small_disk(
        """
import os
from pathlib import Path
from tidegate.telemetry.spool import Spool
for start in range(3):
    spool = Spool(Path("spool.db"), 64 << 20, 3600.0)
    for n in range(1500):
        seq = spool.put("t", {"n": n, "text": "x" * 700}, 1e9)
        assert spool.problem is None, spool.problem
        assert not spool.acknowledge(seq)
    # The one that the first kill kept from being deleted.
    assert spool.counters.waiting == min(start, 1) and spool.counters.in_memory == 0
    if start == 1:
        spool.close()  # the others as a kill leaves them
    else:
        spool._disk.database.close()
        # What SQLite would have removed had it been closed in order is only there after a kill.
free = os.statvfs(".").f_bavail * os.statvfs(".").f_frsize
print(sum(f.stat().st_size for f in Path().glob("spool.db*")), free)
""",
        tmp_path,
        "500k",
    )
    taken, free = map(int, said.split())
    assert taken < 200_000
    assert free > 200_000


def test_full_disk_costs_no_row_and_is_recovered_from(tmp_path: Path) -> None:
    run_on_small_disk(
        """
from pathlib import Path
from tidegate.telemetry.spool import Spool
def balanced(spool):
    c = spool.counters
    return c.put == c.acknowledged + sum(c.dropped.values()) + c.waiting
spool = Spool(Path("spool.db"), 64 << 20, 3600.0)
first = [spool.put("t", {"text": "x" * 500}, 1e9) for _ in range(20)]
ballast = open("ballast", "wb", buffering=0)
try:
    while True: ballast.write(b"x" * 4096)
except OSError: pass
full = [spool.put("t", {"text": "y" * 3000}, 1e9) for _ in range(200)]
assert "full" in spool.problem, spool.problem
assert spool.counters.in_memory > 0 and balanced(spool), spool.counters
assert sorted(set(first + full)) == first + full, "numbers grow"
waiting = [row.seq for row in spool.after(0, 1000)]
assert waiting == first + full, (waiting[:30], full[:5])
assert not spool.acknowledge(*waiting[-3:])
spool.acknowledge(*waiting[:3])
# A second agent on the full disk, as after a kill: it starts, keeps and sends.
spool._disk.database.close()
again = Spool(Path("spool.db"), 64 << 20, 3600.0)
seq = again.put("t", {"text": "z" * 3000}, 1e9)
assert seq > full[-1], (seq, full[-1])
assert seq in [row.seq for row in again.after(0, 1000)]
assert balanced(again)
ballast.truncate(0)
last = again.put("t", {}, 1e9)
assert again.problem is None and again.counters.in_memory == 0
assert last > seq and balanced(again)
again.close()
third = Spool(Path("spool.db"), 64 << 20, 3600.0)
assert {seq, last} <= {row.seq for row in third.after(0, 1000)}
assert balanced(third)
""",
        tmp_path,
        "600k",
    )


def test_a_spool_is_begun_in_memory_on_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    run_on_small_disk(
        """
from pathlib import Path
from tidegate.telemetry.spool import Spool
ballast = open("ballast", "wb", buffering=0)
try:
    while True: ballast.write(b"x" * 4096)
except OSError: pass
spool = Spool(Path("state/spool.db"), 64 << 20, 3600.0)
seqs = [spool.put("t", {"n": n}, 1e9) for n in range(10)]
assert spool.problem, "said"
assert [row.seq for row in spool.after(0, 100)] == seqs
assert not spool.acknowledge(seqs[0])
ballast.truncate(0)
spool._disk.retry_s = spool._disk.retry_at = 0
seqs.append(spool.put("t", {}, 1e9))
assert spool.problem is None, spool.problem
assert (spool.counters.put, spool.counters.acknowledged, spool.counters.waiting) == (11, 1, 10), spool.counters
spool.close()
again = Spool(Path("state/spool.db"), 64 << 20, 3600.0)
assert [row.seq for row in again.after(0, 100)] == seqs[1:]
assert again.put("t", {}, 1e9) > seqs[-1]
""",
        tmp_path,
        "300k",
    )


def test_a_disk_that_becomes_read_only_and_writable_again(tmp_path: Path) -> None:
    run_on_small_disk(
        """
import subprocess
from pathlib import Path
from tidegate.telemetry.spool import Spool
spool = Spool(Path("spool.db"), 1 << 20, 3600.0)
seqs = [spool.put("t", {"n": n}, 1e9) for n in range(5)]
spool.close()
here = str(Path().resolve())
subprocess.run(["mount", "-o", "remount,ro", here], check=True)
spool = Spool(Path("spool.db"), 1 << 20, 3600.0)
seqs += [spool.put("t", {"n": n}, 1e9) for n in range(5)]
assert spool.problem, "said"
assert seqs[5:] == [row.seq for row in spool.after(0, 100)][-5:]
assert seqs == sorted(set(seqs))
subprocess.run(["mount", "-o", "remount,rw", here], check=True)
spool._disk.retry_s = spool._disk.retry_at = 0
seqs.append(spool.put("t", {}, 1e9))
assert spool.problem is None, spool.problem
assert [row.seq for row in spool.after(0, 100)] == seqs
assert spool.counters.waiting == spool.counters.put == 11
spool.close()
""",
        tmp_path,
        "1m",
    )
