"use strict";
// One small chart per figure, all over the same time; uPlot draws, the caption says the same in words.

const CHARTS = [
  { key: "battery_percent", label: "Battery", unit: "%", digits: 0, range: [0, 100] },
  { key: "power_w", label: "Power", unit: "W", digits: 2, least: 1 },
  { key: "temperature_c", label: "Temperature", unit: "°C", digits: 1 },
  { key: "rung", label: "Operating point", unit: "", digits: 0, stepped: true },
  { key: "certified_risk", label: "Certified risk", unit: "%", digits: 2, scale: 100, stepped: true, least: 1 },
  { key: "latency_p95_ms", label: "Latency, p95", unit: "ms", digits: 2, least: 1 },
  { key: "skip_ratio", label: "Blocks skipped", unit: "%", digits: 0, scale: 100, range: [0, 100] },
  { key: "energy_mj", label: "Energy per answer", unit: "mJ", digits: 1, least: 1 },
];
const COLUMNS = ["at", ...CHARTS.map((spec) => spec.key)];
const GAP_ROWS = 3.5;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

class Chart {
  constructor(spec, host, sync) {
    this.spec = spec;
    this.sync = sync;
    this.rungs = [];
    this.figure = document.createElement("figure");
    this.caption = document.createElement("figcaption");
    this.plot = document.createElement("div");
    this.figure.append(this.caption, this.plot);
    host.append(this.figure);
    this.drawn = null;
  }

  text(value) {
    if (value === null || value === undefined) return "unknown";
    if (this.spec.key === "rung") return this.rungs[value] ?? `rung ${value + 1}`;
    return `${value.toFixed(this.spec.digits)} ${this.spec.unit}`;
  }

  // `times` in Unix seconds, `values` with null for unknown.
  show(times, values, everyS, rungs) {
    this.rungs = rungs;
    const scale = this.spec.scale ?? 1;
    const data = [[], []];
    for (let i = 0; i < times.length; i += 1) {
      // Between rows that are far apart nobody kept anything: no line may say otherwise.
      if (i > 0 && times[i] - times[i - 1] > GAP_ROWS * everyS) {
        data[0].push(times[i] - everyS / 2);
        data[1].push(null);
      }
      data[0].push(times[i]);
      data[1].push(values[i] === null ? null : values[i] * scale);
    }
    const known = data[1].filter((value) => value !== null);
    if (known.length === 0) {
      this.clear();
      this.caption.textContent = this.spec.label;
      this.plot.className = "nothing";
      this.plot.textContent = "Unknown: nothing was read in this time.";
      return;
    }
    this.summary = this.describe(data[1][data[1].length - 1], known);
    this.caption.textContent = this.summary;
    if (this.drawn === null) {
      this.plot.className = "plot";
      this.plot.textContent = "";
      this.plot.setAttribute("role", "img");
      this.drawn = new uPlot(this.options(), data, this.plot);
    } else {
      this.drawn.setData(data);
    }
    this.plot.setAttribute("aria-label", `Chart. ${this.summary}`);
  }

  describe(last, known) {
    const { label, key } = this.spec;
    if (key === "rung") return `${label}: ${this.text(last)}`;
    const low = Math.min(...known);
    const high = Math.max(...known);
    const span = low === high ? "" : `, between ${low.toFixed(this.spec.digits)} and ${this.text(high)}`;
    return `${label}: ${this.text(last)}${span}`;
  }

  options() {
    const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 },
      ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const rung = this.spec.key === "rung";
    return {
      ...this.size(),
      legend: { show: false },
      cursor: { sync: { key: this.sync.key }, y: false, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: rung
        ? { dir: -1, range: () => [-0.3, Math.max(this.rungs.length - 1, 1) + 0.3] }
        : { range: this.spec.range ?? ((_, low, high) => this.room(low, high)) } },
      axes: [
        { ...axis, values: (_, splits) => splits.map(clock), space: 60, size: 24 },
        { ...axis, size: rung ? 96 : 48, ...(rung ? {
          splits: () => this.rungs.map((_, index) => index),
          values: (_, splits) => splits.map((index) => short(this.rungs[index] ?? "", 14)),
        } : {}) },
      ],
      series: [{}, {
        stroke: () => colour("--series-1"), width: 2, spanGaps: false, points: { show: false },
        paths: this.spec.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
      }],
      hooks: { setCursor: [(plot) => this.point(plot)] },
    };
  }

  // From 0 where that is the least there can be; never so near that noise looks like news.
  room(low, high) {
    if (this.spec.least !== undefined) return [0, Math.max(high * 1.1, this.spec.least)];
    const margin = Math.max((high - low) * 0.1, 2);
    return [low - margin, high + margin];
  }

  point(plot) {
    const { idx } = plot.cursor;
    this.caption.textContent = idx === null || idx === undefined
      ? this.summary
      : `${this.spec.label} at ${clock(plot.data[0][idx])}: ${this.text(plot.data[1][idx])}`;
  }

  fit() {
    if (this.drawn !== null) this.drawn.setSize(this.size());
  }

  size() {
    const names = this.spec.key === "rung" ? this.rungs.length * 15 + 30 : 0;
    return { width: Math.max(this.plot.clientWidth, 200), height: Math.max(130, names) };
  }

  redraw() {
    if (this.drawn !== null) this.drawn.redraw();
  }

  clear() {
    if (this.drawn === null) return;
    this.drawn.destroy();
    this.drawn = null;
    this.plot.removeAttribute("role");
    this.plot.removeAttribute("aria-label");
  }
}

class Charts {
  constructor(host) {
    const sync = uPlot.sync("history");
    this.charts = CHARTS.map((spec) => new Chart(spec, host, sync));
    this.rows = null;
    new ResizeObserver(() => this.charts.forEach((chart) => chart.fit())).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      this.charts.forEach((chart) => chart.redraw()));
  }

  // `history` is what the agent kept: columns by name, oldest first.
  begin(history) {
    // A clock that was set back leaves rows that lie ahead of later ones: only the later ones are of this time.
    let next = Infinity;
    const ofThisTime = [...history.at].reverse().map((at) => {
      if (at >= next) return false;
      next = at;
      return true;
    }).reverse();
    this.rows = {};
    for (const key of COLUMNS) this.rows[key] = history[key].filter((_, index) => ofThisTime[index]);
    this.everyS = history.every_s;
    this.kept = this.rows.at.length;
  }

  // One moment: the newest row, which the next one replaces until it is old enough to stay.
  add(row) {
    if (this.rows === null) return;
    const { at } = this.rows;
    if (at.length > this.kept && (this.kept === 0 || row.at - at[this.kept - 1] < this.everyS)) this.drop();
    else this.kept = at.length;
    while (at.length > 0 && at[at.length - 1] >= row.at) this.drop();
    this.kept = Math.min(this.kept, at.length);
    for (const key of COLUMNS) this.rows[key].push(row[key]);
  }

  drop() {
    for (const key of COLUMNS) this.rows[key].pop();
  }

  show(spanS, rungs) {
    if (this.rows === null) return;
    const { at } = this.rows;
    const begins = spanS > 0 ? at.findIndex((each) => each >= at[at.length - 1] - spanS) : 0;
    const times = at.slice(begins);
    for (const chart of this.charts) {
      chart.show(times, this.rows[chart.spec.key].slice(begins), this.typicalS(times), rungs);
    }
  }

  // Telemetry windows may be longer than the agent's least distance of rows.
  typicalS(times) {
    if (times.length < 4) return Infinity;
    const gaps = times.slice(1).map((each, index) => each - times[index]).sort((a, b) => a - b);
    return Math.max(this.everyS, gaps[Math.floor(gaps.length / 2)]);
  }
}

function short(text, letters) {
  const end = Math.floor(letters / 2);
  return text.length <= letters ? text : `${text.slice(0, letters - 1 - end)}…${text.slice(-end)}`;
}
