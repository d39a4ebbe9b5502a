"""agent.yaml: what a valid one becomes, and what typical mistakes are answered with."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tidegate import config
from tidegate.config import board_profile, load_config
from tidegate.documents import DocumentError
from tidegate.trust.keys import PrivateKey
from tidegate.trust.trusted_keys import Role

LEAST = """\
device: gate-7
bundle: models/digits
policy: policy.yaml
listen: {tcp: 8700}
"""

WHOLE = (
    LEAST.replace("{tcp: 8700}", "{unix: run/tidegate.sock, tcp: 0}")
    + """\
state_dir: state
broker:
  host: broker.local
  port: 8883
  username: gate-7
  password_file: secret
  tls: {ca: ca.pem}
allow_unsigned: true
trusted_keys:
- {name: ops, key: MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=, roles: [policy, key_rotation]}
- name: night
  key: MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
signature_thresholds: {policy: 2}
groups: [north, cameras]
telemetry: {window: 500 ms}
spool: {max_size: 8 MiB, max_age: 2 d}
meter: mqtt://broker.local/plug/status#apower
controls: [cpu_governor, platform_profile]
replay: {trace: days/solar.csv, span: 60 s, fill_missing: true}
worker: {memory_limit: 512 MiB}
"""
)


@pytest.fixture
def directory(tmp_path, monkeypatch):
    # Short and stable: socket paths and messages hold it.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc").mkdir()
    return Path("etc")


def loaded(directory, text):
    path = directory / "agent.yaml"
    path.write_text(text)
    return load_config(path)


def refused(directory, text):
    with pytest.raises(DocumentError) as caught:
        loaded(directory, text)
    return str(caught.value)


def test_the_least_has_safe_defaults(directory):
    config = loaded(directory, LEAST)
    assert config.broker is None
    assert config.replay is None
    assert config.allow_unsigned is False
    assert config.controls == ()
    assert config.meter is None
    assert config.listen.unix is None
    assert config.state_dir.is_absolute()
    assert config.worker.memory_limit is None


def test_units_become_numbers_and_paths_are_relative_to_the_file(directory):
    config = loaded(directory, WHOLE)
    base = directory.resolve()
    assert config.bundle == base / "models" / "digits"
    assert config.listen.unix == base / "run" / "tidegate.sock"
    assert config.broker.password_file == base / "secret"
    assert config.broker.tls.ca == base / "ca.pem"
    assert config.replay.trace == base / "days" / "solar.csv"
    assert (config.replay.span, config.telemetry.window) == (60.0, 0.5)
    assert (config.spool.max_size, config.spool.max_age) == (8 << 20, 2 * 86400)
    assert config.worker.memory_limit == 512 << 20
    assert config.groups == ("north", "cameras")
    assert config.controls == ("cpu_governor", "platform_profile")
    assert config.meter == "mqtt://broker.local/plug/status#apower"


def test_absolute_and_home_paths_stay_what_they_are(directory, monkeypatch):
    monkeypatch.setenv("HOME", "/home/cam")
    text = LEAST.replace("models/digits", "/srv/../srv/digits").replace("policy.yaml", "~/policy.yaml")
    config = loaded(directory, text)
    assert config.bundle == Path("/srv/digits")
    assert config.policy == Path("/home/cam/policy.yaml")


def test_the_configuration_is_frozen(directory):
    with pytest.raises(ValidationError, match="frozen"):
        loaded(directory, LEAST).device = "other"


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            "device: gate-7",
            "device: gate/7",
            """\
etc/agent.yaml:1:9: device: not usable in an MQTT topic
   1 | device: gate/7
     |         ^^^^^^
     found: gate/7
     allowed: 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit""",
        ),
        (
            "device: gate-7",
            "device: 7",
            """\
etc/agent.yaml:1:9: device: expected text
   1 | device: 7
     |         ^
     found: 7
     allowed: the device's name in MQTT topics, for example `gate-7`""",
        ),
        (
            "{tcp: 8700}",
            "{}",
            """\
etc/agent.yaml:4:9: listen: no address to listen on
   4 | listen: {}
     |         ^^
     found: an empty mapping
     allowed: unix, tcp or both
     hint: for example {unix: tidegate.sock, tcp: 8700}""",
        ),
        (
            "{tcp: 8700}",
            "{tcp: 87000}",
            """\
etc/agent.yaml:4:15: listen.tcp: out of range
   4 | listen: {tcp: 87000}
     |               ^^^^^
     found: 87000
     allowed: at most 65535""",
        ),
        (
            "listen:",
            "spool: {max_size: 8 MB, max_age: 7}\nlisten:",
            """\
etc/agent.yaml:4:34: spool.max_age: a duration needs its unit
   4 | spool: {max_size: 8 MB, max_age: 7}
     |                                  ^
     found: 7
     allowed: a number followed by ms or s or min or h or d
     hint: write `7 s`""",
        ),
        (
            "listen:",
            "broker: {host: b, pasword_file: x}\nlisten:",
            """\
etc/agent.yaml:4:19: broker.pasword_file: unknown key
   4 | broker: {host: b, pasword_file: x}
     |                   ^^^^^^^^^^^^
     found: pasword_file
     allowed: host, password_file, port, tls, username
     nearest: password_file""",
        ),
        (
            "listen:",
            "broker: {host: b, password_file: x}\nlisten:",
            """\
etc/agent.yaml:4:34: broker.password_file: a password without a user name
   4 | broker: {host: b, password_file: x}
     |                                  ^
     found: x
     hint: add `username`""",
        ),
        (
            "listen:",
            "groups: north\nlisten:",
            """\
etc/agent.yaml:4:9: groups: expected a list
   4 | groups: north
     |         ^^^^^
     found: north
     allowed: [...] or lines that begin with `- `""",
        ),
        (
            "listen:",
            "controls: [cpu_governer]\nlisten:",
            """\
etc/agent.yaml:4:12: controls[0]: not one of the allowed words
   4 | controls: [cpu_governer]
     |            ^^^^^^^^^^^^
     found: cpu_governer
     allowed: cpu_governor, cpu_max_frequency, platform_profile
     nearest: cpu_governor""",
        ),
        (
            "listen:",
            "meter: file:meter.json\nlisten:",
            """\
etc/agent.yaml:4:8: meter: not a meter's address
   4 | meter: file:meter.json
     |        ^^^^^^^^^^^^^^^
     found: file:meter.json
     allowed: file:/PATH#KEY,
              mqtt[s]://[USER@]HOST[:PORT]/TOPIC[?password_file=/PATH&ca=/PATH]#KEY,
              hwmon://CHIP[@DEVICE]/CHANNEL,
              nut://[USER@]HOST[:PORT]/UPS[?password_file=/PATH][#ups.realpower]
     hint: for example file:/run/meter.json#power_w, mqtt://broker/plug#apower
           or hwmon://ina219/power1""",
        ),
    ],
)
def test_typical_mistakes(directory, right, wrong, message):
    assert LEAST.count(right) == 1
    assert refused(directory, LEAST.replace(right, wrong)) == message


def test_a_socket_path_the_kernel_would_refuse_is_refused_here(directory):
    message = refused(directory, LEAST.replace("tcp: 8700", f"unix: {'d' * 120}/s.sock"))
    assert message.startswith("etc/agent.yaml:4:16: listen.unix: too long for a Unix socket")


def test_a_file_that_is_not_there(directory):
    with pytest.raises(DocumentError, match=r"gone\.yaml: can't be read: No such file or directory"):
        load_config(directory / "gone.yaml")


def test_where_no_file_is_in_the_default_place_it_says_how_to_name_one(directory, monkeypatch):
    monkeypatch.setattr(config, "DEFAULT_CONFIG", directory / "agent.yaml")
    with pytest.raises(DocumentError, match=r"in the default place\n.*--config FILE"):
        load_config(directory / "agent.yaml")


def test_a_board_is_a_name_or_a_path_made_absolute(directory):
    assert loaded(directory, LEAST).board is None
    assert loaded(directory, LEAST + "board: raspberry-pi-5\n").board == "raspberry-pi-5"
    own = loaded(directory, LEAST + "board: mine/box.yaml\n").board
    assert own == str(directory.resolve() / "mine" / "box.yaml")
    with pytest.raises(DocumentError, match="expected a board"):
        loaded(directory, LEAST + "board: ../etc/passwd\n")


def test_a_spool_too_small_for_its_own_log_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("device: a\nbundle: b\npolicy: p\nlisten: {tcp: 0}\nspool: {max_size: 64 KiB}\n")
    with pytest.raises(DocumentError, match="1 MiB or more"):
        load_config(file)
    file.write_text(file.read_text().replace("64 KiB", "1 MiB"))
    assert load_config(file).spool.max_size == 1 << 20


@pytest.mark.parametrize(
    ("board", "nearest"),
    [
        ("rasberry-pi-4", "raspberry-pi-4"),
        ("raspberry-pi-3", "raspberry-pi-5"),
        ("RaspberryPi 5", "raspberry-pi-5"),
        ("mac_mini", "mac-mini"),
        ("vax", ""),
    ],
)
def test_an_unknown_board_is_shown_where_it_is_named(directory, board, nearest):
    said = refused(directory, LEAST + f"board: {board}\n").splitlines()
    assert said[0] == "etc/agent.yaml:5:8: board: no such board profile"
    assert f"     found: {board}" in said
    assert any(line.startswith("     allowed: field-box, ") for line in said)
    assert [line for line in said if "nearest" in line] == ([f"     nearest: {nearest}"] if nearest else [])


@pytest.mark.parametrize(
    ("profile", "what"),
    [
        (None, "box.yaml: can't be read: No such file or directory"),
        ("tidegate_board: 1\n", "box.yaml:1:1: name: missing key `name` and 3 more"),
        ("tidegate_board: 2\n[", "box.yaml:"),
    ],
)
def test_a_profile_that_cant_be_used_is_shown_where_it_is_named(directory, profile, what):
    if profile is not None:
        (directory / "box.yaml").write_text(profile)
    config = loaded(directory, LEAST + "board: box.yaml\n")
    with pytest.raises(DocumentError) as caught:
        board_profile(config)
    said = str(caught.value)
    assert said.startswith("etc/agent.yaml:5:8: board: the board's profile can't be used")
    assert "     found: box.yaml" in said
    assert "     allowed: a path to a valid board profile, or one of field-box" in said
    assert f"hint: {directory.resolve()}/{what}" in " ".join(said.split())


def test_a_profile_that_can_be_used_is_the_one_named(directory):
    assert board_profile(loaded(directory, LEAST)) is None
    assert board_profile(loaded(directory, LEAST + "board: field-box\n")).board.name == "field-box"


KEYS = """\
trusted_keys:
- {name: ops, key: MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=}
- {name: qa, key: MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=, roles: [policy, key_rotation]}
signature_thresholds: {policy: 2}
"""


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("[policy, key_rotation]", "[polcy]", "trusted_keys[1].roles[0]: not one of the allowed words"),
        ("{policy: 2}", "{polcy: 2}", "signature_thresholds.polcy: not one of the allowed words"),
    ],
)
def test_one_wrong_word_is_one_problem_with_what_was_found(directory, right, wrong, message):
    with pytest.raises(DocumentError) as caught:
        loaded(directory, LEAST + KEYS.replace(right, wrong))
    said = str(caught.value)
    assert said.count("agent.yaml:") == 1
    assert f"{message}\n" in said
    assert "found: polcy\n" in said
    assert "nearest: policy" in said


def test_trusted_keys(directory):
    trusted = config.trusted_keys(loaded(directory, LEAST + KEYS))
    assert [(each.name, sorted(each.roles)) for each in trusted.keys] == [
        ("ops", ["policy"]),
        ("qa", ["key_rotation", "policy"]),
    ]
    assert (trusted.threshold(Role.POLICY), trusted.threshold(Role.KEY_ROTATION)) == (2, 1)
    assert config.trusted_keys(loaded(directory, LEAST)).keys == ()


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("name: qa", "name: ops", "trusted_keys[1].name: the name ops is taken"),
        (
            "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
            "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
            "are the same key",
        ),
        ("MCowBQYDK2VwAyEA11q", "MCowBQYDK2VwAyEA11", "not a public key"),
        ("[policy, key_rotation]", "[polcy]", "nearest: policy"),
        ("[policy, key_rotation]", "[]", "at least one entry"),
        ("[policy, key_rotation]", "[key_rotation]", "with the role policy are 1 keys, 2 can never sign"),
        ("{policy: 2}", "{policy: 0}", "allowed: 1 to 2"),
        ("{policy: 2}", "{polcy: 2}", "signature_thresholds"),
    ],
)
def test_keys_that_can_sign_nothing_are_refused(directory, right, wrong, message):
    assert right in KEYS
    found = refused(directory, LEAST + KEYS.replace(right, wrong))
    assert message in found, found


def test_more_keys_than_one_device_has_use_for(directory):
    entries = "".join(
        f"- {{name: k{n}, key: {PrivateKey(bytes(31) + bytes([n])).public.text}}}\n" for n in range(17)
    )
    assert "allowed: at most 16" in refused(directory, LEAST + "trusted_keys:\n" + entries)
