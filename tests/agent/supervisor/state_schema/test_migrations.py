"""Migrations as functions of the files' contents: what an older version knows survives the way there and back."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tidegate.supervisor.state_schema.migrations import MIGRATIONS, SCHEMA, files_between, migrated

NAMES = st.sampled_from([*files_between(1, SCHEMA), "drift.json"])
FILES = st.dictionaries(NAMES, st.binary(max_size=60))
POINTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40).filter(lambda name: name == name.strip())


@given(FILES, st.integers(1, SCHEMA), st.integers(1, SCHEMA))
def test_any_content_is_taken_and_other_files_stay(files: dict[str, bytes], found: int, wanted: int) -> None:
    after = migrated(files, found, wanted)
    assert after.get("drift.json") == files.get("drift.json")
    assert set(after) - set(files) <= set(files_between(found, wanted))


@given(POINTS)
def test_an_operating_point_survives_the_way_there_and_back(point: str) -> None:
    files = {"operating_point": point.encode()}
    there = migrated(files, 1, 2)
    assert set(there) == {"last_run.json"}
    assert migrated(there, 2, 1) == files


@given(FILES)
def test_one_by_one_is_the_same_as_all_at_once(files: dict[str, bytes]) -> None:
    stepwise = files
    for found, wanted in pairwise(range(1, SCHEMA + 1)):
        stepwise = dict(migrated(stepwise, found, wanted))
    assert stepwise == migrated(files, 1, SCHEMA)


def test_every_migration_names_its_files() -> None:
    for migration in MIGRATIONS:
        assert migration.files
        assert not {"policies.json", "session", "latest_time", "spool.db"} & set(migration.files)
