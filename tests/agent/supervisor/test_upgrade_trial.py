"""The version that comes back if this one fails its trial, as the installation left it."""

from pathlib import Path

from tidegate.supervisor.upgrade_trial import version_before


def test_a_trial_under_way_names_the_version_before(tmp_path: Path) -> None:
    new, old = tmp_path / "versions" / "0.3.0-aa", tmp_path / "versions" / "0.2.0-bb"
    assert version_before(new) is None
    (tmp_path / "trial").write_text("versions/0.2.0-bb\n")
    assert version_before(new) == "0.2.0-bb"
    assert version_before(old) is None, "it is the one that has come back"
    assert version_before(tmp_path / ".venv") is None, "not installed as a service"
    (tmp_path / "trial").unlink()
    assert version_before(new) is None
