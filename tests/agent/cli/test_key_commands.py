"""`tidegate key`: pairs of files, and entries of agent.yaml that come and go while everything else stays."""

import os
from pathlib import Path

import pytest
from forked import PROCESSES
from here import tidegate_here, together
from small_disk import run_on_small_disk

from tidegate.config import load_config, trusted_keys
from tidegate.trust.key_file import read_private, read_public

AGENT = """\
# which camera
device: gate-7   # over the gate
bundle: digits
policy: policy.yaml
listen: {tcp: 8700}
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agent.yaml").write_text(AGENT)
    (tmp_path / "agent.yaml").chmod(0o640)
    for name in ("alice", "bob"):
        assert tidegate_here("key", "new", name).returncode == 0
    return tmp_path


def key(*arguments: str) -> str:
    done = tidegate_here("key", *arguments, "--config", "agent.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(code: int, *arguments: str) -> str:
    done = tidegate_here("key", *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done
    assert "Traceback" not in done.stderr
    return done.stderr


def names(desk: Path) -> dict[str, list[str]]:
    keys = trusted_keys(load_config(desk / "agent.yaml")).keys
    assert all(each.key == read_public(desk / f"{each.name}.pub") for each in keys)
    return {each.name: sorted(each.roles) for each in keys}


def test_a_new_key_is_two_files_and_the_next_step(desk: Path) -> None:
    said = tidegate_here("key", "new", "carol").stdout
    assert "next, on the device: tidegate key trust carol.pub" in said
    assert read_private(desk / "carol.key").public == read_public(desk / "carol.pub")
    assert read_public(desk / "carol.pub").keyid in said
    assert all(len(line) <= 80 for line in said.splitlines()), "on a small terminal too"
    before = (desk / "carol.key").read_text()
    assert "never overwritten" in refused(65, "new", "carol")
    assert (desk / "carol.key").read_text() == before
    assert "key name" in refused(64, "new", "a b")
    assert "make the directory" in refused(65, "new", "nowhere/alice")


def test_trusting_and_revoking_leave_the_file_as_it_was(desk: Path) -> None:
    assert "tidegate reload --config agent.yaml" in key("trust", "alice.pub")
    assert names(desk) == {"alice": ["policy"]}
    key("trust", "bob.pub", "--role", "policy", "--role", "key_rotation")
    assert names(desk) == {"alice": ["policy"], "bob": ["key_rotation", "policy"]}
    text = (desk / "agent.yaml").read_text()
    assert text.startswith(AGENT)
    assert (desk / "agent.yaml").stat().st_mode & 0o777 == 0o640
    shown = key("show")
    assert "alice: policy\n" in shown
    assert read_public(desk / "bob.pub").keyid in shown

    assert "already" in key("trust", "alice.pub"), "once more is no mistake"
    assert (desk / "agent.yaml").read_text() == text

    key("revoke", "alice")
    assert names(desk) == {"bob": ["key_rotation", "policy"]}
    assert "every push is refused from now on" in key("revoke", read_public(desk / "bob.pub").keyid)
    assert names(desk) == {}
    assert "no trusted keys; add one" in key("show")
    key("trust", "alice.pub")
    assert names(desk) == {"alice": ["policy"]}


def test_a_key_in_one_line_with_a_name(desk: Path) -> None:
    line = read_public(desk / "alice.pub").text
    key("trust", line, "--name", "alice")
    assert names(desk) == {"alice": ["policy"]}
    assert "--name" in refused(64, "trust", read_public(desk / "bob.pub").text, "--config", "agent.yaml")


WRITTEN = {
    "comments within": (
        "trusted_keys:   # who may\n# Alice, day shift\n- name: alice\n  key: {alice}   # laptop\n\n"
        "# Bob, nights\n- name: bob\n  key: {bob}\n  roles:\n  - policy\n\n# the rest\ngroups: [a]\n"
    ),
    "indented": "trusted_keys:\n  - name: alice\n    key: {alice}\n  - name: bob\n    key: {bob}\ngroups: [a]",
    "entries in one line": "trusted_keys:\n- {{name: alice, key: {alice}}}\n- {{name: bob, key: {bob}}}\n",
    "a list over lines": "trusted_keys:\n- name: alice\n  key: {alice}\n  roles: [policy,\n    bundle]\n"
    "- name: bob\n  key: {bob}\n",
}


@pytest.mark.parametrize("how", WRITTEN)
def test_however_the_list_is_written(desk: Path, how: str) -> None:
    pair = {name: read_public(desk / f"{name}.pub").text for name in ("alice", "bob")}
    section = WRITTEN[how].replace("{{", "{").replace("}}", "}")
    section = section.replace("{alice}", pair["alice"]).replace("{bob}", pair["bob"])
    (desk / "agent.yaml").write_text(AGENT + section)
    tidegate_here("key", "new", "carol")
    key("trust", "carol.pub")
    assert list(names(desk)) == ["alice", "bob", "carol"]
    key("revoke", "bob")
    assert list(names(desk)) == ["alice", "carol"]
    text = (desk / "agent.yaml").read_text()
    for line in (AGENT + section).splitlines():
        if "#" in line:
            assert line in text.splitlines(), "each comment is still there"


def test_what_it_can_not_edit_it_says_how_to_write(desk: Path) -> None:
    flow = f"trusted_keys: [{{name: alice, key: {read_public(desk / 'alice.pub').text}}}]\n"
    (desk / "agent.yaml").write_text(AGENT + flow)
    said = refused(65, "trust", "bob.pub", "--config", "agent.yaml")
    assert f"- name: bob\n  key: {read_public(desk / 'bob.pub').text}\n  roles: [policy]" in said
    assert "by hand" in refused(65, "revoke", "alice", "--config", "agent.yaml")
    assert (desk / "agent.yaml").read_text() == AGENT + flow


UNEDITABLE = {
    "a quoted key": '"trusted_keys": []\n',
    "an empty list over lines": "trusted_keys: [\n]\n",
    "a key with a question mark": "? trusted_keys\n: []\n",
    "the end of a document": "...\n",
}


@pytest.mark.parametrize("how", UNEDITABLE)
def test_no_error_is_about_lines_that_nobody_wrote(desk: Path, how: str) -> None:
    text = AGENT + UNEDITABLE[how]
    (desk / "agent.yaml").write_text(text)
    assert "can't be added to by itself" in refused(65, "trust", "alice.pub", "--config", "agent.yaml")
    assert (desk / "agent.yaml").read_text() == text


@pytest.mark.parametrize("before", ["", "trusted_keys: []\n", "trusted_keys: [] # none\n"])
def test_lines_end_as_those_of_the_file_do(desk: Path, before: str) -> None:
    crlf = (AGENT + before).replace("\n", "\r\n").encode()
    (desk / "agent.yaml").write_bytes(b"\xef\xbb\xbf" + crlf)
    for name in ("alice", "bob"):
        key("trust", f"{name}.pub")
    key("revoke", "alice")
    assert list(names(desk)) == ["bob"]
    text = (desk / "agent.yaml").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf# which camera\r\n")
    assert text.count(b"\r\n") == text.count(b"\n") == text.count(b"\r")


def test_keys_trusted_at_the_same_time_are_all_trusted(desk: Path) -> None:
    keys = ["k0", "k1", "k2", "k3"]
    for name in keys:
        assert tidegate_here("key", "new", name).returncode == 0
    about_to = PROCESSES.Barrier(len(keys))
    trust = ("key", "trust", "--config", "agent.yaml")
    started = [PROCESSES.Process(target=together, args=(about_to, desk, *trust, f"{name}.pub")) for name in keys]
    for each in started:
        each.start()
    for each in started:
        each.join(60)
    assert [each.exitcode for each in started] == [0, 0, 0, 0]
    assert sorted(names(desk)) == keys


def test_a_symlink_to_the_file_stays_one(desk: Path) -> None:
    (desk / "there").mkdir()
    (desk / "agent.yaml").rename(desk / "there/real.yaml")
    (desk / "agent.yaml").symlink_to("there/real.yaml")
    key("trust", "alice.pub")
    assert (desk / "agent.yaml").is_symlink()
    assert "alice" in (desk / "there/real.yaml").read_text()


def test_a_full_disk_leaves_no_half_of_a_key(tmp_path: Path) -> None:
    """With no room for the private key, and with none for the public one."""
    code = """
import pathlib
from here import tidegate_here
for filled in (8192, 4096):
    pathlib.Path("filled").write_bytes(bytes(filled))
    done = tidegate_here("key", "new", "ops")
    print(done.returncode, "make room" in done.stderr, sorted(path.name for path in pathlib.Path(".").iterdir()))
"""
    assert run_on_small_disk(code, tmp_path, "8k").splitlines() == ["65 True ['filled']"] * 2


def test_what_is_no_key_is_said_of_whatever_is_given(desk: Path) -> None:
    on = ("--name", "x", "--config", "agent.yaml")
    assert "no public key" in refused(65, "trust", "A" * 5000, *on), "longer than any name of a file"
    assert "directory" in refused(65, "trust", ".", *on)
    os.mkfifo("pipe")
    assert "not a plain file" in refused(65, "trust", "pipe", *on)
    Path("dangling").symlink_to("nowhere")
    assert "No such file" in refused(65, "trust", "dangling", *on)


def test_mistakes(desk: Path) -> None:
    on = ("--config", "agent.yaml")
    key("trust", "alice.pub")
    assert "first: tidegate key revoke alice" in refused(65, "trust", "bob.pub", "--name", "alice", *on)
    assert "as alice" in refused(65, "trust", "alice.pub", "--name", "al", *on)
    assert "there are: alice" in refused(65, "revoke", "bob", *on)
    assert "tidegate key new NAME" in refused(65, "trust", "carol.pub", *on)
    assert "Ed25519 public key" in refused(65, "show", "agent.yaml")
    assert "default place" in refused(78, "show")
    done = tidegate_here("key", "trust", "bob.pub", "--role", "polcy", *on)
    assert (done.returncode, "policy" in done.stderr) == (64, True)
    (desk / "agent.yaml").write_text((desk / "agent.yaml").read_text() + "signature_thresholds: {policy: 2}\n")
    assert "2 can never sign" in refused(78, "trust", "bob.pub", "--role", "bundle", *on)


def test_the_private_half_trusts_the_public_one(desk: Path) -> None:
    key("trust", "alice.key")
    text = (desk / "agent.yaml").read_text()
    assert read_public(desk / "alice.pub").text in text
    assert (desk / "alice.key").read_text().splitlines()[1] not in text
