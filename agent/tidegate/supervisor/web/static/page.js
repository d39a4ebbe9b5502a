"use strict";
// What the agent says becomes text nodes and nothing else: names and reasons come from policies and over MQTT.

const $ = (id) => document.getElementById(id);
const share = (value, digits = 1) => `${(value * 100).toFixed(digits)} %`;
const figure = (value) => (Math.abs(value) < 100 ? value.toPrecision(3) : value.toFixed(0));
const energy = (millijoules) => (millijoules < 1000 ? `${figure(millijoules)} mJ` : `${figure(millijoules / 1000)} J`);
const words = (name) => name.replaceAll("_", " ");

let latest = null;
let announced = null;
let lost;

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  if (text !== "") made.textContent = text;
  if (className !== "") made.className = className;
  return made;
}

// Replace a node's children only where they would read otherwise: screen readers and selections stay undisturbed.
function fill(node, children) {
  const said = children.map((child) => child.outerHTML).join("");
  if (node.dataset.said === said) return;
  node.dataset.said = said;
  node.replaceChildren(...children);
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function when(seconds) {
  return new Date(seconds * 1000).toLocaleString([], { dateStyle: "short", timeStyle: "medium", hourCycle: "h23" });
}

function duration(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86400)} days`;
}

// A tile: what, its value or null for unknown, where it is from.
function tile(label, value, from = "", stale = false) {
  const made = element("div");
  made.append(
    element("dt", label),
    element("dd", value ?? "unknown", value === null ? "value unknown" : "value"),
    element("dd", from, stale ? "from stale" : "from"),
  );
  return made;
}

function readingTile(label, reading, shown, more = "") {
  if (reading === undefined) return tile(label, null, "no sensor");
  if (reading.value === null) return tile(label, null, `unavailable: ${reading.reason}`, true);
  const stale = reading.freshness !== "fresh";
  const from = [stale ? "stale" : "", words(reading.provenance), reading.source, more].filter(Boolean).join(", ");
  return tile(label, shown(reading.value), from, stale);
}

function tiles(status) {
  const { readings, served, now } = status;
  const source = readings.power_source?.value;
  const names = rungs(status).map((rung) => rung.name);
  const place = names.includes(status.point) ? `rung ${names.indexOf(status.point) + 1} of ${names.length}` : "";
  const drifted = status.demotions.some((each) => each.point === status.point);
  const held = status.held_at === null ? "" : "held from outside";
  const nothing = served === null ? "not counted yet" : `no request in the last ${duration(served.window_s)}`;
  const idle = served === null || served.latency_p95_ms === null;
  return [
    readingTile("Battery", readings.battery, (value) => `${value.toFixed(0)} %`, source ? `on ${source} power` : ""),
    readingTile("Power", readings.power, (value) => `${figure(value)} W`),
    readingTile("Temperature", readings.temperature, (value) => `${value.toFixed(1)} °C`),
    tile("Operating point", status.point, [place, held].filter(Boolean).join(", ")),
    tile("Certified risk", status.certified_risk === null ? null : `≤ ${share(status.certified_risk)}`,
      drifted ? "withdrawn: the point has drifted" : status.certified_risk === null ? "not certified" : counted(status.certificate), drifted),
    tile("Latency, p95", idle ? null : `${figure(served.latency_p95_ms)} ms`, idle ? nothing
      : `${figure(served.requests / served.window_s)} requests a second`),
    tile("Blocks skipped", idle || served.skip_ratio === null ? null : share(served.skip_ratio, 0),
      idle ? nothing : served.skip_ratio === null ? "this point has no block to skip" : "of all, in the last window"),
    tile("Energy per answer", now.energy_mj === null ? null : energy(now.energy_mj),
      now.energy_mj === null ? "takes a reading of power, and answers" : "of the whole device"),
  ];
}

function counted(own) {
  if (own?.state !== "in_force") return "a bound on held-out data";
  const again = own.recount ? `; counted again on this runtime: ${own.recount.state}` : "";
  return `counted on ${own.data}, signed by ${own.signed_by.join(", ")}${again}`;
}

function rungs(status) {
  return status.ladder.filter((rung) => !rung.refused || rung.name === status.point);
}

function ladderRow(status, rung) {
  const row = element("tr");
  const current = rung.name === status.point;
  const off = rung.refused || status.explanation?.left_out[rung.name] || "";
  const standing = current ? "in force" : off ? `off: ${off}` : "";
  for (const text of [
    rung.name,
    rung.certified_risk === null ? "not certified" : `≤ ${share(rung.certified_risk)}`,
    rung.accuracy === null ? "not measured" : share(rung.accuracy),
    `${figure(rung.latency_p50_ms)} ms`,
    standing,
  ]) row.append(element("td", text));
  if (current) row.setAttribute("aria-current", "true");
  if (off) row.className = "off";
  return row;
}

function happened(each) {
  const item = element("li");
  const at = element("time", new Date(each.at).toLocaleTimeString([], { hourCycle: "h23" }));
  at.dateTime = each.at;
  const text = element("span");
  text.append(element("b", `${each.kind}: `), each.text);
  item.append(at, text);
  return item;
}

function pushes(status) {
  const { policy, bundle, refusals } = status;
  const by = (names) => (names.length ? `, signed by ${names.join(", ")}` : "");
  const pairs = [["Policy", `${policy.name}, version ${policy.version}, ${policy.origin}${by(policy.signed_by)}`]];
  if (bundle) {
    const version = bundle.version === null ? "" : `, version ${bundle.version}`;
    pairs.push(["Bundle", `${bundle.origin}${version}${by(bundle.signed_by)}, ${bundle.hash.slice(0, 12)}`]);
    if (bundle.coming) pairs.push(["Coming in", bundle.coming]);
  }
  const counts = Object.entries(refusals).map(([kind, count]) => `${count} ${words(kind)}`);
  if (counts.length) pairs.push(["Refused since the start", counts.join(", ")]);
  if (status.allow_unsigned) pairs.push(["Unsigned", "whoever may publish at the broker sets this device's policy"]);
  const dropped = status.telemetry.dropped === null ? "the spool can't be read"
    : `${status.telemetry.waiting} waiting, ${Object.values(status.telemetry.dropped).reduce((a, b) => a + b, 0)} dropped`;
  pairs.push(["MQTT", `${status.telemetry.link}${status.telemetry.reason ? ` (${status.telemetry.reason})` : ""}, ${dropped}`]);
  return pairs.flatMap(([what, text]) => [element("dt", what), element("dd", text)]);
}

function verdict(each) {
  const reason = each.reason ? `: ${each.reason}` : "";
  const times = each.count > 1 ? `, ${each.count} times` : "";
  return element("li", `${when(each.at_s)}: ${each.what} version ${each.version} ${words(each.state)}${reason}${times}`);
}

function troubles(status) {
  const found = status.troubles.map((each) => `${each.part}: ${each.because}`);
  for (const each of status.demotions) found.push(`${each.point} is off the ladder: it ${each.because}`);
  if (status.held_at !== null) found.push(`held at ${status.held_at} from outside: urgent rules, pauses and the ceilings stay`);
  return found.map((text) => element("li", text));
}

function streams(served) {
  if (served === null) return [];
  return [...served.streams, ...(served.frigate === null ? [] : [served.frigate])].map((each) => {
    const others = ["failed", "turned_away", "dropped", "still", "skipped"].filter((name) => each[name])
      .map((name) => `${each[name]} ${words(name)}`);
    const last = each.last_frame_at === null ? "no frame since the worker began" : `last frame ${when(each.last_frame_at)}`;
    const rate = `${figure(each.answered / served.window_s)} answered a second`;
    const item = element("li", "", each.problem ? "failing" : "");
    item.append(element("b", `${each.name}: `), [each.source, rate, ...others, last].join(", "));
    if (each.problem) item.append(`; no frames come: ${each.problem}`);
    return item;
  });
}

function modelRow(model) {
  const row = element("tr");
  const ready = model.state === "READY";
  for (const text of [
    model.name,
    ready ? "ready" : `${model.load_state}: ${[model.reason, model.remedy].filter(Boolean).join("; ")}`,
    model.point ?? "",
    model.point === null ? "" : model.certified_risk === null ? "not certified" : `≤ ${share(model.certified_risk)}`,
    `${model.requests}${model.failed ? `, ${model.failed} failed` : ""}`,
    model.latency_p95_ms === null ? "" : `${figure(model.latency_p95_ms)} ms`,
    model.weights_resident_bytes === null ? "" : `${(model.weights_resident_bytes / 2 ** 20).toFixed(1)} MiB`,
  ]) row.append(element("td", text));
  if (!ready) row.className = "off";
  return row;
}

function show(status) {
  document.title = `${status.device}: ${status.point} · tidegate`;
  say($("device"), status.device);
  if (announced !== status.point) {
    // Read aloud when the point changes, and not with every reading that its reason quotes.
    if (announced !== null) say($("announcement"), `The operating point is now ${status.point}.`);
    announced = status.point;
  }
  say($("model"), `${status.model} on ${status.engine || "no engine yet"}; the worker is ${status.worker.state}`);
  const decision = status.decision;
  say($("decision"), decision === null ? "Nothing is decided yet."
    : `At ${status.point}: ${[decision.reason, ...decision.held_back].join("; ")}.`);
  fill($("troubles"), troubles(status));
  fill($("now"), tiles(status));
  $("models-section").hidden = status.models.length < 2;
  fill($("models").tBodies[0], status.models.map(modelRow));
  const fetched = streams(status.served);
  $("streams-section").hidden = fetched.length === 0;
  fill($("streams"), fetched);
  const sentences = status.explanation === null ? ["Nothing is decided yet."] : status.explanation.sentences;
  fill($("why"), sentences.map((text) => element("li", text)));
  fill($("ladder").tBodies[0], status.ladder.map((rung) => ladderRow(status, rung)));
  fill($("events"), [...status.recent].reverse().map(happened));
  fill($("pushes"), pushes(status));
  fill($("verdicts"), status.verdicts.length ? status.verdicts.map(verdict) : [element("li", "No push has met a verdict.")]);
  say($("footer"), `tidegate ${status.version}, up for ${duration(status.uptime_s)}, ${status.switches} switches, `
    + `${status.worker.restarts} restarts of the worker. The last hours are kept in memory, and begin at the start.`);
}

// -- what if --------------------------------------------------------------------------------------------------

const form = $("what-if");
let touched = false;
let asking = 0;

function setSliders(status) {
  if (touched) return;
  for (const [name, otherwise] of [["battery", 50], ["temperature", 40]]) {
    const value = status.readings[name]?.value;
    const slider = form.elements[name];
    slider.value = value ?? otherwise;
    slider.dataset.known = value === null || value === undefined ? "" : "yes";
    showSlider(slider);
  }
}

function showSlider(slider) {
  const output = slider.parentElement.querySelector("output");
  const known = slider.dataset.known || touched;
  const text = known ? `${slider.value} ${output.dataset.unit}` : "unknown";
  say(output, text);
  slider.setAttribute("aria-valuetext", text);
}

async function ask() {
  asking += 1;
  const mine = asking;
  const values = new URLSearchParams();
  for (const name of ["battery", "temperature"]) {
    const slider = form.elements[name];
    if (slider.dataset.known) values.set(name, slider.value);
  }
  if (form.elements.power_source.value) values.set("power_source", form.elements.power_source.value);
  await new Promise((resolve) => { setTimeout(resolve, 300); });
  if (mine !== asking) return;
  let text;
  try {
    const response = await fetch(`what-if?${values}`);
    text = response.ok ? (await response.json()).sentence : await response.text();
    if (response.status === 429 && mine === asking) { ask(); return; }
  } catch {
    text = "The agent does not answer.";
  }
  if (mine === asking) say($("what-if-answer"), text);
}

form.addEventListener("input", (change) => {
  touched = true;
  if (change.target.type === "range") {
    change.target.dataset.known = "yes";
    showSlider(change.target);
  }
  ask();
});
form.addEventListener("submit", (submit) => submit.preventDefault());
form.addEventListener("reset", () => {
  touched = false;
  asking += 1;
  say($("what-if-answer"), "");
  if (latest) setTimeout(() => setSliders(latest));
});

// -- what comes in --------------------------------------------------------------------------------------------

const charts = new Charts($("charts"));

function showCharts() {
  charts.show(Number($("span").value), latest.ladder.map((rung) => rung.name));
}

$("span").addEventListener("change", () => { if (latest) showCharts(); });

function connect() {
  const source = new EventSource("events");
  source.addEventListener("open", async () => {
    // What was missed meanwhile is in the agent's own history.
    const response = await fetch("history");
    if (response.ok) charts.begin(await response.json());
  });
  source.addEventListener("message", (message) => {
    clearTimeout(lost);
    lost = undefined;
    latest = JSON.parse(message.data);
    $("connection").dataset.state = "live";
    say($("connection"), "Live");
    show(latest);
    setSliders(latest);
    charts.add(latest.now);
    showCharts();
  });
  source.addEventListener("error", () => {
    // A stream ends after a while, and the next one begins at once.
    lost ??= setTimeout(showLost, 4000);
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
  });
}

function showLost() {
  $("connection").dataset.state = "lost";
  say($("connection"), latest === null ? "The agent does not answer; trying again."
    : `Connection lost; this is how it was at ${new Date(latest.now.at * 1000).toLocaleTimeString([], { hourCycle: "h23" })}.`);
}

connect();
