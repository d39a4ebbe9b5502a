"""The policy commands as a user meets them: output, errors and exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate.cli.main import application
from tidegate.paths import profiles_directory
from tidegate.policy.schema import PolicyDocument
from tidegate_drivers.trace import ReplayTrace

PROFILES = profiles_directory()
CAMERA = PROFILES / "policies" / "field-camera.yaml"
LADDER = PROFILES / "ladders" / "camera.yaml"


def said(*arguments, code=0):
    result = CliRunner().invoke(application(), [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def named(tmp_path):
    path = tmp_path / "named.yaml"
    path.write_text(
        "tidegate: 1\nname: named\nversion: 1\nmax_accuracy_loss: 1 %\ndefault: {use: int9}\n"
        "rules:\n  - {name: r, between: ['22:00', '06:00'], use: int8-skip-50}\n"
    )
    return path


def test_check_looks_points_up_on_a_ladder(named):
    assert "valid" in said("policy", "check", named)
    output = said("policy", "check", named, "--ladder", LADDER, code=78)
    assert f"{named}:5:16: default.use: no such point on the ladder" in output
    assert "nearest: int8" in output
    allowed = [word for line in output.splitlines() if "allowed: full" in line for word in line.split(", ")]
    assert [word for word in allowed if word.endswith("full")] == ["     allowed: full"]
    assert "one of full, mixed, int8, int8-skip-16;" in output
    assert f"{named}:7:49: rules[0].use: the ceiling forbids this point" in output


def test_check_warns_of_a_rule_that_flaps(tmp_path):
    flapping = tmp_path / "flap.yaml"
    rule = "{name: slow, when: {latency: {above: 65 ms, until: 40 ms}}, use: cheapest}"
    flapping.write_text(f"tidegate: 1\nname: f\nversion: 1\nmax_accuracy_loss: 12 %\nrules:\n  - {rule}\n")
    assert "warning" not in said("policy", "check", flapping)
    output = said("policy", "check", flapping, "--ladder", LADDER, "--board", "field-box")
    assert f"{flapping}:6:34: rules[0].when.latency: warning: rule 'slow' flaps" in output
    assert "full takes 72 ms, which begins it (above 65 ms)" in output
    assert "write `goals: {latency_p95: 65 ms}` in place of the rule" in output
    assert "valid: f version 1, 1 rules, 1 warning" in output


def test_an_unknown_board_is_named_with_those_there_are():
    first, *rest = said("policy", "check", CAMERA, "--board", "nope", code=78).splitlines()
    assert first == "board nope: no such board profile"
    assert rest[0].startswith("     allowed: field-box, ")
    assert rest[-1].endswith("or a path that ends in .yaml")


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_ladder_that_is_not_there_is_named_once(tmp_path, suffix):
    gone = tmp_path / f"gone.{suffix}"
    output = said("policy", "check", CAMERA, "--ladder", gone, code=65 if suffix == "json" else 78)
    assert output.startswith(f"{gone}: can't be read: No such file or directory")
    assert output.count("gone") == 1


@pytest.mark.parametrize("ladder", ["bundles/digits", "bundles/digits/ladder.json", "ladders/camera.yaml"])
def test_a_ladder_may_be_a_bundle_or_a_file(ladder):
    assert "valid" in said("policy", "check", CAMERA, "--ladder", PROFILES / ladder)


def test_show_tells_where_each_value_comes_from(tmp_path):
    policy = tmp_path / "p.yaml"
    policy.write_text("tidegate: 1\nname: p\nversion: 1\nmax_accuracy_loss: 2 %\n")
    output = said("policy", "show", policy, "--board", "raspberry-pi-5", "--below", CAMERA, "--origin")
    places = dict(line.split("  # ") for line in output.splitlines())
    places = {value.strip(): place for value, place in places.items()}
    assert places["max_accuracy_loss: 2 %"] == f"{policy}:4:20"
    assert places["dwell.up: 60 s"].startswith(str(CAMERA))
    assert "on_missing.temperature: assume_hot" in places
    assert said("policy", "show", policy) == "tidegate: 1\nname: p\nversion: 1\nmax_accuracy_loss: 2 %\n"


def test_the_schema_in_the_tree_is_that_of_this_version():
    assert json.loads((PROFILES / "policy.schema.json").read_text()) == json.loads(said("policy", "schema"))
    definitions = PolicyDocument.model_json_schema(by_alias=True)["$defs"]
    assert {"RulePart", "ConditionPart", "GoalsPart"} <= set(definitions)
    assert definitions["DwellPart"]["properties"]["up"]["type"] == "string"


def test_so_is_the_schema_of_the_configuration():
    schema = json.loads(said("config", "schema"))
    assert json.loads((PROFILES / "agent.schema.json").read_text()) == schema
    assert {"device", "bundle", "policy", "listen"} <= set(schema["required"])


def test_explain_on_a_saved_state(tmp_path):
    saved = tmp_path / "state.json"
    saved.write_text('{"readings": {"battery": 18, "power_source": "battery", "temperature": {"value": 40}}}')
    arguments = ("policy", "explain", "--snapshot", saved, "--policy", CAMERA, "--at", "2026-06-01T12:00")
    assert "rule 'battery low' is in force" in said(*arguments)
    document = json.loads(said(*arguments, "--json"))
    assert document["rule"] == "battery low"
    assert document["rules"][1]["changes"] == ["battery rises to 25 % (now 18 %)", "power source is not battery"]
    saved.write_text('{"readings": 3}')
    assert "readings" in said(*arguments, code=65)


def test_simulate_compares_policies_and_says_that_it_is_estimated(tmp_path):
    trace = tmp_path / "morning.csv"
    whole = (PROFILES / "traces" / "commute.csv").read_text()
    assert "\n9000," in whole
    trace.write_text(whole.partition("\n9000,")[0] + "\n")
    policies = ("--policy", CAMERA, "--policy", PROFILES / "policies" / "solar-box.yaml")
    output = said("policy", "simulate", "--trace", trace, *policies)
    assert "field-camera on Small board" in output
    assert "estimates" in output
    page = tmp_path / "day.html"
    told, line = said("policy", "simulate", "--trace", trace, *policies, "--json", "--html", page).splitlines()
    assert told == f"wrote {page}"
    totals = json.loads(line)
    assert set(totals) == {"field-camera", "solar-box"}
    written = page.read_text(encoding="utf-8")
    for shown in (
        "battery, %",
        "operating point",
        "field-camera",
        "solar-box",
        "estimates",
        "right, within goals",
    ):
        assert shown in written
    assert f"<td>{totals['solar-box']['asked']:.0f}</td>" in written
    assert written.count("<path") == 6 * len(totals)
    assert totals["solar-box"]["asked"] > 0


def test_simulate_says_whose_settings_it_leaves_out(named):
    trace = PROFILES / "traces" / "idle.csv"
    named.write_text("tidegate: 1\nname: governed\nversion: 1\nmax_accuracy_loss: 1 %\n")
    assert "Left out" not in said("policy", "simulate", "--trace", trace, "--policy", named)
    with named.open("a") as file:
        file.write("default: {use: full, controls: {cpu_governor: powersave}}\n")
    assert "settings that governed would change" in said("policy", "simulate", "--trace", trace, "--policy", named)


def test_drift_without_an_agent_says_how_to_start_one(tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("{device: a, bundle: b, policy: p.yaml, state_dir: state, listen: {tcp: 0}}\n")
    for options in ((), ("--forget-all",), ("--forget", "int8")):
        assert "no agent is running here" in said("policy", "drift", "--config", config, *options, code=69)


def test_simulate_needs_a_load_a_policy_and_a_trace(tmp_path):
    day = PROFILES / "traces" / "field-camera-day.csv"
    assert "--requests" in said("policy", "simulate", "--trace", day, "--policy", CAMERA, code=65)
    assert "48.0 Wh" in said("policy", "simulate", "--trace", day, "--fit")
    assert "no readable file" in said("policy", "simulate", "--trace", tmp_path / "none.csv", code=65)


def test_fit_says_what_a_day_does_not_show_and_prints_no_number_for_it(tmp_path):
    day = tmp_path / "day.csv"
    day.write_text("time_s,power_w,temperature_c\n" + "".join(f"{at},,40\n" for at in range(0, 600, 10)))
    assert "the column power_w has no value" in said("policy", "simulate", "--trace", day, "--fit", code=65)
    day.write_text("time_s,power_w\n" + "".join(f"{at},{3 + at % 4}\n" for at in range(0, 600, 10)))
    output = said("policy", "simulate", "--trace", day, "--fit")
    assert "# battery: this day does not show it: the trace has no column battery_percent" in output
    assert "nan" not in output
    assert json.loads(said("policy", "simulate", "--trace", day, "--fit", "--json"))["battery_wh"] is None


def test_a_recording_is_a_trace_that_can_be_read_again(tmp_path):
    path = tmp_path / "day.csv"
    assert "rows" in said("record", path, "--seconds", "1", "--interval", "0.2")
    trace = ReplayTrace.load(path)
    assert trace.duration_s > 0.3
    assert trace.clock_s > 0 or path.read_text().startswith("# clock: 00:00")
    assert isinstance(trace.tracks["memory_available"].values[-1], float)
    assert "never overwrites" in said("record", path, "--seconds", "1", code=65)


def test_the_ready_policies_name_the_schema_for_editors():
    for name in ("solar-box", "fanless-gateway", "always-plugged"):
        text = (Path(PROFILES) / "policies" / f"{name}.yaml").read_text()
        assert text.startswith("# yaml-language-server: $schema=../policy.schema.json\n")
