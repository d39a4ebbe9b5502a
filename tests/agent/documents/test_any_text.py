"""Whatever the text: a value or a DocumentError with line and column, in each of the four forms of document."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.boards.profile import load_profile
from tidegate.config import AgentConfig
from tidegate.documents import DocumentError, load, parse
from tidegate.paths import profiles_directory
from tidegate.policy.schema import load_policy
from tidegate.simulation.ladder_document import load_ladder

POLICY = (profiles_directory() / "policies" / "demo.yaml").read_text()
LAYERED_UNDER = parse(POLICY, "local.yaml")
BOARD = next((profiles_directory() / "boards").glob("*.yaml")).read_text()
LADDER = (profiles_directory() / "ladders" / "camera.yaml").read_text()
AGENT = """\
device: gate-7
bundle: digits
policy: policy.yaml
listen: {unix: tidegate.sock, tcp: 8700}
broker: {host: localhost, username: a, password_file: b, tls: {ca: c}}
controls: [cpu_governor]
worker: {engine: onnx, memory_limit: 1 GiB}
"""

Form = tuple[str, Callable[[str], object]]
FORMS: dict[str, Form] = {
    "policy": (POLICY, lambda text: load_policy(text, "x.yaml")),
    "layer": (POLICY, lambda text: load_policy(text, "x.yaml", None, (LAYERED_UNDER,))),
    "agent.yaml": (AGENT, lambda text: load(text, "x.yaml", AgentConfig, {"base": Path("/")})),
    "board": (BOARD, lambda text: load_profile(text, "x.yaml")),
    "ladder": (LADDER, lambda text: load_ladder(text, "x.yaml")),
}
# Names of union branches in angle brackets, YAML 1.1's special keys, and what YAML's syntax is made of.
WORDS = """
<< = <point> <bounds> <times> <reserve> <schedule> <time> <x> [key] ~ null 1e999 99999999999999999999 0x10 .nan
-.inf 2026-01-01 18:00 true !!python/object:os.system !x &a *a { } [ ] : ? - # | > ' " @ ` % %YAML --- ... \\
use when rules name full
"""
STRANGE = (*WORDS.split(), "5\u00a0%", "\x00", "\x07", "\x85", "\ufeff", "\u2028", "\U0001f600")
PLACE = re.compile(r"\S+:\d+:\d+: ")


def outcome(read: Callable[[str], object], text: str) -> None:
    try:
        read(text)
    except DocumentError as error:
        said, problems = str(error), error.problems
    else:
        return
    assert problems
    assert PLACE.match(said), said


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "line",
    [
        "<<: 1",
        "<<: {a: 1}",
        "<x>: 1",
        "<point>: 1",
        "'<<': [1, 2]",
        "=: 1",
        "1: 2",
        "true: 1",
        "? {a: b}\n: 1",
        "? [a]\n: 1",
        "a: !!python/object:os.system 1",
        "a: !x 1",
        "a: &x 1",
        "a: *x",
        "--- \na: 1",
        "\ta: 1",
        "a: \x00",
        "a: " + "[" * 5000,
        "a: " + "{a: " * 5000,
        "a: " + "9" * 5000,
        "a: 1e999",
        "a: 2026-01-01",
    ],
)
def test_what_no_document_may_hold_is_a_located_error(form: str, line: str) -> None:
    text, read = FORMS[form]
    with pytest.raises(DocumentError) as caught:
        read(f"{text}{line}\n")
    (at, *_) = [problem.mark.line for problem in caught.value.problems]
    assert at > len(text.splitlines())
    assert PLACE.match(str(caught.value))


@pytest.mark.parametrize("use", ["{'<<': 1}", "{<bounds>: 1}", "{<point>: {<bounds>: 1}}"])
def test_a_key_that_looks_like_a_branch_of_a_union_is_named_as_the_unknown_key(use: str) -> None:
    text = f"tidegate: 1\nname: x\nversion: 1\nmax_accuracy_loss: 1 %\ndefault: {{use: {use}}}\n"
    with pytest.raises(DocumentError) as caught:
        load_policy(text, "x.yaml")
    (problem,) = caught.value.problems
    assert (problem.mark.line, problem.mark.column, problem.message) == (5, 17, "unknown key")


@pytest.mark.parametrize("key", ["'<<'", "nonsense", "'a b'", "1"])
def test_a_wrong_default_in_a_profile_is_told_of_in_the_profile(key: str) -> None:
    with pytest.raises(DocumentError, match=r"^x\.yaml:\d+:3: .*unknown key"):
        load_profile(BOARD.replace("  on_missing:", f"  {key}: 1\n  on_missing:", 1), "x.yaml")


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_a_good_document_with_anything_put_into_it(form: str, data: st.DataObject) -> None:
    text, read = FORMS[form]
    words = list(re.finditer(r"[^\s:,{}\[\]]+", text))
    for _ in range(data.draw(st.integers(1, 3))):
        word = data.draw(st.sampled_from(words))
        put = data.draw(st.sampled_from(STRANGE) | st.text(max_size=8))
        keep = data.draw(st.booleans())
        text = text[: word.start()] + put + text[word.start() if keep else word.end() :]
    outcome(read, text)


@pytest.mark.parametrize("form", FORMS)
@given(st.text(max_size=200))
def test_any_text_at_all(form: str, text: str) -> None:
    outcome(FORMS[form][1], text)
