"""What each schema of the state directory changed, both ways. Pure: the files' contents in, their contents out.

Here are the files whose meaning or name changes from one version of tidegate to the next. Not here: `spool.db`,
with a schema of its own in SQLite, and `session`, `latest_time` and `spool.db.seq`, one number each. The trusted
version in `policies.json` is never lowered and its key never renamed: versions that read nothing else read that.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Files = Mapping[str, bytes]
"""Contents by name; a file that is not there is not in it."""


@dataclass(frozen=True, slots=True)
class Migration:
    """From one schema to the next, and back. Both take any bytes; `files` are all that they read or write."""

    what: str
    files: tuple[str, ...]
    forward: Callable[[Files], Files]
    backward: Callable[[Files], Files]


def _point_to_last_run(files: Files) -> Files:
    """`operating_point` was the bare name; `last_run.json` also says in which boot, and whether it was ended."""
    kept = {name: content for name, content in files.items() if name != "operating_point"}
    try:
        point = files["operating_point"].decode().strip()
    except (KeyError, UnicodeDecodeError):
        return kept
    return {**kept, "last_run.json": json.dumps({"point": point, "boot_id": None, "ended": False}).encode()}


def _last_run_to_point(files: Files) -> Files:
    kept = {name: content for name, content in files.items() if name != "last_run.json"}
    try:
        point = json.loads(files["last_run.json"])["point"]
    except (LookupError, TypeError, ValueError, RecursionError):
        return kept
    return {**kept, "operating_point": point.encode(errors="replace")} if isinstance(point, str) else kept


MIGRATIONS = (
    Migration(
        "the last operating point became the record of the last run",
        ("operating_point", "last_run.json"),
        _point_to_last_run,
        _last_run_to_point,
    ),
)
"""In order; the first leads from schema 1 to 2."""
SCHEMA = 1 + len(MIGRATIONS)
"""Of the state that this version writes."""


def files_between(found: int, wanted: int, migrations: tuple[Migration, ...] = MIGRATIONS) -> tuple[str, ...]:
    """The names that a migration from one schema to another may read or write."""
    low, high = sorted((found, wanted))
    return tuple(dict.fromkeys(name for each in migrations[low - 1 : high - 1] for name in each.files))


def migrated(files: Files, found: int, wanted: int, migrations: tuple[Migration, ...] = MIGRATIONS) -> Files:
    """The files of schema `found` as schema `wanted` has them."""
    if wanted >= found:
        for migration in migrations[found - 1 : wanted - 1]:
            files = migration.forward(files)
    else:
        for migration in reversed(migrations[wanted - 1 : found - 1]):
            files = migration.backward(files)
    return files
