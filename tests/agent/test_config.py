"""agent.yaml: what a valid one becomes, and what typical mistakes are answered with."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tidegate.config import board_profile, files, load_config, trusted_keys
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
            "listen:",
            "web: {tcp: 9464, address: 0.0.0.0}\nlisten:",
            """\
etc/agent.yaml:4:27: web.address: other machines reach this address, and no token is asked of them
   4 | web: {tcp: 9464, address: 0.0.0.0}
     |                           ^^^^^^^
     found: 0.0.0.0
     allowed: 127.0.0.1, ::1 or localhost, or any address with `token_file`
     hint: make a token with `openssl rand -hex 16`, or stay at 127.0.0.1""",
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
     allowed: data_per_day, host, password_file, port, tls, username
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
    monkeypatch.setattr(files, "DEFAULT_CONFIG", directory / "agent.yaml")
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
    trusted = trusted_keys(loaded(directory, LEAST + KEYS))
    assert [(each.name, sorted(each.roles)) for each in trusted.keys] == [
        ("ops", ["policy"]),
        ("qa", ["key_rotation", "policy"]),
    ]
    assert (trusted.threshold(Role.POLICY), trusted.threshold(Role.KEY_ROTATION)) == (2, 1)
    assert trusted_keys(loaded(directory, LEAST)).keys == ()


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


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("hibernate", "suspend: no way to suspend this system"),
        ("bin/hook", "suspend: no way to suspend this system"),
        ("/no/such/hook", "suspend: nothing that can be run"),
        ("/tmp", "suspend: nothing that can be run"),
    ],
)
def test_a_way_to_suspend_has_to_be_there(directory, named, says):
    said = refused(directory, LEAST + f"suspend: {named}\n")
    assert says in said
    assert "allowed: `systemd`, `pmset`, or the absolute path of an executable" in said


def test_ways_to_suspend(directory):
    assert loaded(directory, LEAST).suspend is None
    for named in ("systemd", "pmset", "/bin/true"):
        assert loaded(directory, LEAST + f"suspend: {named}\n").suspend == named


def test_the_endpoint_is_bound_beyond_this_machine_by_whoever_asks_for_something(directory):
    for part, address in (
        ("{tcp: 8700}", "127.0.0.1"),
        ("{tcp: 8700, address: '::1'}", "::1"),
        ("{tcp: 8700, address: '::ffff:127.0.0.1'}", "::ffff:7f00:1"),
        ("{tcp: 8700, address: 0.0.0.0, token_file: endpoint.token}", "0.0.0.0"),
        ("{tcp: 8700, address: '::', unauthenticated: true}", "::"),
        ("{unix: a.sock, tcp: 1, address: 10.0.0.7, tls: {certificate: c, key: k, client_ca: a}}", "10.0.0.7"),
    ):
        assert loaded(directory, LEAST.replace("{tcp: 8700}", part)).listen.address == address
    config = loaded(directory, LEAST.replace("8700}", "1, token_file: t, tls: {certificate: c, key: k}}"))
    assert config.listen.token_file == directory.resolve() / "t"
    assert config.listen.tls.key == directory.resolve() / "k"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("{tcp: 1, address: 0.0.0.0}", "listen.address: other machines reach this address, and nothing is asked"),
        ("{tcp: 1, address: '::'}", "allowed: 127.0.0.1 or ::1, or any address with `token_file`"),
        ("{tcp: 1, address: 10.0.0.7, tls: {certificate: c, key: k}}", "listen.address: other machines reach"),
        ("{tcp: 1, address: gate.lan}", "listen.address: not an IP address"),
        ("{tcp: 1, tls: {certificate: c}}", "listen.tls.key"),
        (
            "{tcp: 1, tls: {certificate: c, key: k, client_ca: a}}",
            "listen.tls.client_ca: this machine's own tools",
        ),
        ("{tcp: 1, token_file: t, unauthenticated: true}", "listen.unauthenticated: nothing is to be asked, and"),
        ("{unix: a.sock, address: 127.0.0.1}", "listen.address: without a port"),
        ("{unix: a.sock, token_file: t}", "listen.token_file: without a port"),
        ("{unix: a.sock, unauthenticated: false}", "listen.unauthenticated: without a port"),
    ],
)
def test_what_the_endpoint_may_not_have(directory, part, said):
    assert said in refused(directory, LEAST.replace("{tcp: 8700}", part))


FRIGATE = LEAST + "frigate: {unix: run/frigate.sock}\n"


def test_frigate_has_one_address_and_time(directory):
    config = loaded(directory, FRIGATE)
    assert config.frigate.unix == directory.resolve() / "run" / "frigate.sock"
    assert (config.frigate.answer_within, config.frigate.hand_over) == (0.15, False)
    told = loaded(directory, LEAST + "frigate: {tcp: 5555, address: 0.0.0.0, unauthenticated: true}\n")
    assert (told.frigate.tcp, told.frigate.address) == (5555, "0.0.0.0")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("{}", "frigate: Frigate needs one address"),
        ("{unix: a.sock, tcp: 5555}", "frigate: Frigate needs one address"),
        ("{tcp: 5555, address: 0.0.0.0}", "frigate.address: whoever reaches this address may ask"),
        ("{tcp: 5555, address: '::'}", "frigate.address: whoever reaches this address may ask"),
        ("{tcp: 5555, address: 192.168.1.7}", "or another one with `unauthenticated: true`"),
        ("{tcp: 5555, address: localhost}", "frigate.address: not an IP address"),
        ("{tcp: 5555, answer_within: 1 ms}", "frigate.answer_within: no time to answer in"),
        ("{tcp: 5555, answer_within: 1 min}", "allowed: 10 ms to 30 s"),
    ],
)
def test_what_frigate_may_not_have(directory, part, said):
    assert said in refused(directory, LEAST + f"frigate: {part}\n")


MODELS = "models: [{name: plates, bundle: plates}, {name: faces, bundle: faces, load: on_request}]\n"


def test_models_beside_the_main_one(directory):
    plates, faces = loaded(directory, LEAST + MODELS).models
    assert plates.bundle == directory.resolve() / "plates"
    assert (plates.engine, plates.max_accuracy_loss, plates.load) == (None, None, "at_start")
    assert faces.load == "on_request"
    text = LEAST + MODELS.replace("load: on_request", "max_accuracy_loss: 0.5 %, engine: litert")
    assert (loaded(directory, text).models[1].max_accuracy_loss, loaded(directory, text).models[1].engine) == (
        0.005,
        "litert",
    )


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("name: faces", "name: plates", "models[1].name: two models are called plates"),
        ("name: faces", "name: a/b", "models[1].name: not usable in an MQTT topic"),
        ("name: plates, ", "", "models[0].name"),
        ("bundle: faces", "bundle: ''", "models[1].bundle"),
        ("on_request", "later", "models[1].load"),
        ("load: on_request", "engine: tflite", "models[1].engine"),
        ("load: on_request", "max_accuracy_loss: 2", "models[1].max_accuracy_loss"),
        ("load: on_request", "point: full", "models[1].point: unknown key"),
    ],
)
def test_what_a_model_may_not_be(directory, right, wrong, said):
    assert said in refused(directory, LEAST + MODELS.replace(right, wrong))


@pytest.mark.parametrize("part", ["streams: [{name: door, model: MODEL, from: {lines: a}, to: {lines: b}}]\n",
                                  "frigate: {unix: f.sock, model: MODEL}\n"])  # fmt: skip
def test_streams_and_frigate_name_a_model_that_is_there(directory, part):
    assert loaded(directory, LEAST + MODELS + part.replace("MODEL", "faces")).models[1].name == "faces"
    said = refused(directory, LEAST + MODELS + part.replace("MODEL", "dogs"))
    assert "model: no such model" in said
    assert "plates, faces; without the key the bundle's own model answers" in " ".join(said.split())
    assert "model: no such model" in refused(directory, LEAST + part.replace("MODEL", "faces"))


STREAM = "streams: [{name: door, from: {camera: /dev/video0}, to: {lines: answers.jsonl}}]\n"


def test_a_stream_has_defaults(directory):
    (stream,) = loaded(directory, LEAST + STREAM).streams
    assert stream.source.camera == "/dev/video0"
    assert stream.to.lines == directory.resolve() / "answers.jsonl"
    assert (stream.frames_per_second, stream.motion, stream.queue, stream.to.outputs) == (5.0, None, 2, "best")
    text = STREAM.replace("}}]", "}, motion: 2 %, frames_per_second: 10}]")
    assert loaded(directory, LEAST + text).streams[0].motion == 0.02


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("camera: /dev/video0", "", "streams[0].from: a stream has one source"),
        ("camera: /dev/video0", "camera: /dev/video0, folder: in", "streams[0].from: a stream has one source"),
        ("camera: /dev/video0", "camera: ''", "streams[0].from.camera"),
        ("camera: /dev/video0", "mqtt: cam/#", "streams[0].from.mqtt: there is no broker"),
        ("lines: answers.jsonl", "mqtt: answers", "streams[0].to.mqtt: there is no broker"),
        ("lines: answers.jsonl", "mqtt: answers/#", "streams[0].to.mqtt"),
        ("lines: answers.jsonl", "", "streams[0].to: a stream's answers go to one place"),
        ("name: door", "name: a/b", "streams[0].name: not usable in an MQTT topic"),
        ("}}]", "}, motion: 2}]", "streams[0].motion"),
        ("}}]", "}, frames_per_second: 0}]", "streams[0].frames_per_second"),
        ("}}]", "}, queue: 0}]", "streams[0].queue"),
        ("}}]", "}, frames_per_second: 5/s}]", "allowed: a number, without quotes and unit"),
        ("}}]", "}, frames_per_second: true}]", "frames_per_second: expected a number"),
        ("}}]", "}, frames_per_second: 500}]", "allowed: at most 240"),
        ("}}]", "}, motion: 100 %}]", "streams[0].motion: nothing moves by more"),
        ("answers.jsonl", "file:///tmp/answers.jsonl", "hint: write `/tmp/answers.jsonl`"),
        ("answers.jsonl", "https://answers.example/", "to.lines: an address in the place of a path"),
        (
            "{camera: /dev/video0}, to: {lines: answers.jsonl}",
            "{lines: a}, to: {lines: a}",
            "streams[0].to.lines: door would read these answers as frames",
        ),
        (
            "}}]",
            "}}, {name: a, from: {lines: p}, to: {lines: b}}, {name: c, from: {lines: p}, to: {lines: d}}]",
            "streams[2].from.lines: a reads this pipe already",
        ),
        (
            "}}]",
            "}}, {name: door, from: {lines: a}, to: {lines: b}}]",
            "streams[1].name: two streams are called door",
        ),
    ],
)
def test_what_a_stream_may_not_be(directory, right, wrong, said):
    assert said in refused(directory, LEAST + STREAM.replace(right, wrong))


@pytest.mark.parametrize(
    ("taken", "given", "said"),
    [
        ("cam/#/door", "answers", "from.mqtt: a wildcard that no broker takes"),
        ("cam/a+", "answers", "from.mqtt: a wildcard that no broker takes"),
        ("cam#", "answers", "from.mqtt: a wildcard that no broker takes"),
        ("cam", "answers/+/x", "to.mqtt: a wildcard in a topic to publish to"),
        ("cam/+", "cam/door", "to.mqtt: door would read these answers as frames, since it takes cam/+"),
        ("cam/#", "cam", "to.mqtt: door would read these answers as frames"),
        ("#", "answers", "to.mqtt: door would read these answers as frames"),
    ],
)
def test_topics_of_a_stream_are_those_a_broker_takes_and_no_circle(directory, taken, given, said):
    stream = f"streams: [{{name: door, from: {{mqtt: '{taken}'}}, to: {{mqtt: '{given}'}}}}]\n"
    assert said in refused(directory, LEAST + "broker: {host: here}\n" + stream)


@pytest.mark.parametrize(
    ("taken", "given"), [("cam/+", "cam/door/answer"), ("cam/+/in", "cam/a/out"), ("+", "a/b")]
)
def test_answers_may_go_beside_what_is_taken(directory, taken, given):
    stream = f"streams: [{{name: door, from: {{mqtt: '{taken}'}}, to: {{mqtt: '{given}'}}}}]\n"
    assert loaded(directory, LEAST + "broker: {host: here}\n" + stream).streams[0].source.mqtt == taken


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("web: {tcp: 8700}", "web.tcp: listen.tcp listens there already"),
        ("frigate: {tcp: 8700}", "frigate.tcp: listen.tcp listens there already"),
        ("web: {unix: a.sock}\nfrigate: {unix: ./a.sock}", "frigate.unix: web.unix listens there already"),
        ("frigate: {unix: 'ipc:///run/f.sock'}", "hint: write `/run/f.sock`"),
        ("frigate: {tcp: 5555, address: localhost}", "hint: write `127.0.0.1`"),
        ("web: {tcp: 80, address: '*', token_file: t}", "web.address: no address to listen on"),
        ("web: {tcp: 80, address: '127.0.0.1:80'}", "web.address: no address to listen on"),
    ],
)
def test_addresses_are_ones_to_listen_on_and_nobody_elses(directory, part, said):
    assert said in refused(directory, LEAST + part + "\n")


def test_ports_that_the_system_chooses_are_not_the_same(directory):
    config = loaded(directory, LEAST.replace("8700", "0") + "web: {tcp: 0, address: gate-7.lan, token_file: t}\n")
    assert (config.listen.tcp, config.web.tcp, config.web.address) == (0, 0, "gate-7.lan")


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("mqtt://gate.lan", "hint: write `gate.lan`"),
        ("mqtts://me@gate.lan:8883/", "hint: write `gate.lan`, and `port: 8883` beside it"),
        ("gate.lan:1883", "hint: write `gate.lan`, and `port: 1883` beside it"),
        ("[::1]", "hint: write `::1`"),
        ("[2001:db8::1]:1883", "hint: write `2001:db8::1`, and `port: 1883` beside it"),
        ("a b", "allowed: an IP address or a name, without scheme, port and brackets"),
        (" ", "no host"),
        ("-gate", "no host"),
        ("gate/mqtt", "no host"),
        ("x" * 300, "no host"),
    ],
)
def test_what_is_no_host_is_refused_before_a_broker_is_asked(directory: Path, host: str, said: str) -> None:
    told = refused(directory, LEAST + f'broker: {{host: "{host}"}}\n')
    assert "broker.host: no host" in told
    assert said in told


@pytest.mark.parametrize(
    "host", ["gate", "Gate-7.LAN.", "my_broker", "10.0.0.1", "::1", "fe80::1%eth0", "tür.lan"]
)
def test_names_and_addresses_are_hosts(directory: Path, host: str) -> None:
    broker = loaded(directory, LEAST + f'broker: {{host: "{host}"}}\n').broker
    assert broker is not None
    assert broker.host == host


@pytest.mark.parametrize(
    ("footage", "words"),
    [
        ("{max_size: 64 KiB}", "too little room for frames"),
        ("{max_age: 5 s}", "frames would be gone at once"),
        ("{clip: 40 d}", "not the length of a clip"),
        ("{clip: 0 s}", "not the length of a clip"),
        ("{max_size: 8 MiB, blur: true}", "footage.blur"),
    ],
)
def test_footage_that_would_be_of_no_use_is_refused(tmp_path: Path, footage: str, words: str) -> None:
    file = tmp_path / "agent.yaml"
    plain = "device: a\nbundle: b\npolicy: p\nlisten: {tcp: 0}\n"
    file.write_text(plain)
    assert load_config(file).footage is None
    file.write_text(plain + f"footage: {footage}\n")
    with pytest.raises(DocumentError, match=words):
        load_config(file)
    file.write_text(plain + "footage: {}\n")
    kept = load_config(file).footage
    assert kept is not None
    assert (kept.max_size, kept.max_age, kept.clip) == (64 << 20, 30 * 86400, 60)
