"""Mistakes that people make in agent.yaml, and their answers: `config_mistakes.txt` has them word for word.

`OK` stands for the least that is valid.
"""

from pathlib import Path

import pytest

from tidegate.config.files import config_in
from tidegate.documents import DocumentError
from tidegate.documents.load import read

OK = """\
device: gate-7
bundle: digits
policy: policy.yaml
listen: {tcp: 8700}
"""
CASES = dict(
    case.split("\n", 1) for case in (Path(__file__).parent / "config_mistakes.txt").read_text().split("=== ")[1:]
)


@pytest.mark.parametrize("mistake", CASES)
def test_a_mistake_gets_its_answer(mistake: str) -> None:
    text, said = CASES[mistake].split("--- said\n")
    with pytest.raises(DocumentError) as caught:
        config_in(text.replace("OK\n", OK), Path("agent.yaml"))
    assert f"{caught.value}\n" == said


@pytest.mark.parametrize("written", [f"\ufeff{OK}", OK.replace("\n", "\r\n"), f"---\n{OK}", f"{OK}...\n"])
def test_what_editors_add_is_taken(written: str, tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_bytes(written.encode())
    assert config_in(read(tmp_path / "agent.yaml"), tmp_path / "agent.yaml").device == "gate-7"


@pytest.mark.parametrize(("encoding", "place"), [("latin-1", "1:10: not UTF-8"), ("utf-16", "1:1: not UTF-8")])
def test_another_encoding_is_named_by_its_place(encoding: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_bytes(OK.replace("gate-7", "k\u00fcche").encode(encoding))
    with pytest.raises(DocumentError, match=f"{place}[^^]*hint: save it as UTF-8"):
        read(tmp_path / "agent.yaml")
