"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);

// Names come from models: text nodes only, and Plotly's pseudo-HTML escaped.
const make = (tag, text, className) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
};
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const number = (value) => {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e6)) return value.toExponential(3);
  if (value === 0) return "0";
  return Math.abs(value) < 1000 ? value.toPrecision(4) : String(Number(value.toPrecision(6)));
};
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const heading = (o) => (o.unit ? `${o.label} [${o.unit}]` : o.label);
const axisTitle = (o) => plain(heading(o));

const pairs = [];
data.objectives.forEach((_, i) => data.objectives.forEach((_, j) => { if (i < j) pairs.push([j, i]); }));
const ALL = -1;  // the view of every pair
let pair = 0;
let picked = data.front.find((p) => p.name === data.chosen) || data.front[0];

// What the search knew after a generation. The last one is the result itself.
const LAST = Math.max(0, ...data.hypervolume.map((h) => h[0]));
const FIRST = Math.min(LAST, ...data.hypervolume.map((h) => h[0]));
let moment = LAST;
let view = { front: data.front, behind: data.evaluated };
const signs = data.objectives.map((o) => (o.direction === "max" ? -1 : 1));
const dominates = (a, b) => {
  let better = false;
  for (let i = 0; i < signs.length; i += 1) {
    const difference = signs[i] * (a.values[i] - b.values[i]);
    if (difference > 0) return false;
    if (difference < 0) better = true;
  }
  return better;
};
function look() {
  if (moment >= LAST) { view = { front: data.front, behind: data.evaluated }; return; }
  const known = [...data.front, ...data.evaluated].filter((p) => p.generation <= moment);
  const front = known.filter((p) => !known.some((other) => dominates(other, p)));
  view = { front, behind: known.filter((p) => !front.includes(p)) };
}

const valueText = (point, i) => {
  const o = data.objectives[i];
  const interval = o.name === "error" && point.interval ? ` (${point.interval.map(number).join(" to ")})` : "";
  return `${number(point.values[i])} ${o.unit}${interval}`.trim();
};
const summary = (point) => {
  const bits = data.slots.map(([layer, slot], i) => [layer, slot, point.bits[i]]);
  const rows = layerRows(bits).map(([layer, cells]) =>
    `${plain(short(layer))}: ${cells.map(([slot, b]) => `${plain(short(slot))} ${b}`).join(", ")}`);
  const shown = rows.length > 14 ? [...rows.slice(0, 13), `and ${rows.length - 13} more`] : rows;
  const values = data.objectives.map((o, i) => `${plain(o.label)}: ${plain(valueText(point, i))}`);
  return [`<b>${plain(point.name)}</b>`, ...values, ...shown].join("<br>");
};
const short = (name) => (name.length > 32 ? `${name.slice(0, 30)}…` : name);
const layerRows = (bits) => {
  const rows = new Map();
  for (const [layer, slot, b] of bits) {
    if (b === null || b === undefined) continue;
    if (!rows.has(layer)) rows.set(layer, []);
    rows.get(layer).push([slot, b]);
  }
  return [...rows];
};

const layout = (extra) => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
  font: { color: color("--ink"), family: "system-ui, sans-serif", size: 13 },
  margin: { l: 64, r: 16, t: 12, b: 52 },
  hoverlabel: { align: "left", bgcolor: color("--card"), bordercolor: color("--line"), font: { color: color("--ink") } },
  legend: { orientation: "h", y: 1.06, x: 0 },
  modebar: { bgcolor: "rgba(0,0,0,0)", color: color("--other"), activecolor: color("--accent") },
  ...extra,
});
const axis = (title, extra) => ({
  title: { text: title }, gridcolor: color("--line"), zerolinecolor: color("--line"), automargin: true, ...extra,
});
const config = { displaylogo: false, displayModeBar: "hover", responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

// The traces and marks of one pair of objectives on the axes with that suffix ("", "2", ...).
function pairPlot([x, y], suffix, small) {
  const trace = (points, name, marker, extra) => ({
    type: "scatter", mode: "markers", name, legendgroup: name, showlegend: suffix === "", marker,
    xaxis: `x${suffix}`, yaxis: `y${suffix}`, cliponaxis: false,
    x: points.map((p) => p.values[x]), y: points.map((p) => p.values[y]),
    text: points.map(summary), hovertemplate: "%{text}<extra></extra>", customdata: points.map((p) => p.name), ...extra,
  });
  const known = (p) => p.values[x] !== null && p.values[y] !== null;
  const references = data.references.filter(known).sort((a, b) => a.values[x] - b.values[x]);
  const traces = [
    trace(view.behind, "evaluated", { color: color("--other"), size: small ? 4 : 6, opacity: 0.45 }),
    trace(view.front, "front", { color: color("--accent"), size: small ? 7 : 10, line: { color: color("--card"), width: 1 } }),
    trace(references, "same width everywhere", { color: color("--reference"), size: small ? 8 : 12, symbol: "diamond" }, {
      mode: small ? "markers" : "markers+text", text: references.map((p) => plain(short(p.name))),
      textposition: references.map((_, i) => (i % 2 ? "bottom center" : "top center")),
      textfont: { color: color("--reference"), size: 12 }, hovertext: references.map(summary), hovertemplate: "%{hovertext}<extra></extra>" }),
    trace(known(picked) ? [picked] : [], "picked", { color: "rgba(0,0,0,0)", size: small ? 15 : 20, line: { color: color("--good"), width: 3 } },
      { hoverinfo: "skip", hovertemplate: null }),
  ];
  const shapes = [], annotations = [];
  for (const p of data.references.filter((r) => !known(r))) {
    const text = { text: plain(short(p.name)), showarrow: false, font: { color: color("--reference"), size: 12 } };
    const line = { type: "line", layer: "below", line: { color: color("--reference"), width: 1.5, dash: "dot" } };
    if (p.values[y] !== null) {
      shapes.push({ ...line, xref: `x${suffix} domain`, yref: `y${suffix}`, x0: 0, x1: 1, y0: p.values[y], y1: p.values[y] });
      annotations.push({ ...text, xref: `x${suffix} domain`, yref: `y${suffix}`, x: 1, xanchor: "right", y: p.values[y], yanchor: "bottom" });
    } else if (p.values[x] !== null) {
      shapes.push({ ...line, xref: `x${suffix}`, yref: `y${suffix} domain`, y0: 0, y1: 1, x0: p.values[x], x1: p.values[x] });
      annotations.push({ ...text, xref: `x${suffix}`, yref: `y${suffix} domain`, y: 1, yanchor: "top", x: p.values[x], xanchor: "left" });
    }
  }
  return { traces, shapes, annotations };
}

function drawPareto() {
  if (!pairs.length) return drawOnlyObjective();
  const shown = pair === ALL ? pairs : [pairs[pair]];
  const columns = shown.length === 1 ? 1 : Math.min(by("pareto").clientWidth < 620 ? 1 : 2, shown.length);
  const rows = Math.ceil(shown.length / columns);
  by("pareto").style.height = rows === 1 ? "" : `${rows * 300}px`;
  const axes = {}, traces = [], shapes = [], annotations = [];
  shown.forEach(([x, y], i) => {
    const suffix = i ? String(i + 1) : "";
    const made = pairPlot([x, y], suffix, shown.length > 1);
    traces.push(...made.traces);
    shapes.push(...made.shapes);
    annotations.push(...made.annotations);
    axes[`xaxis${suffix}`] = axis(axisTitle(data.objectives[x]), { anchor: `y${suffix}` });
    axes[`yaxis${suffix}`] = axis(axisTitle(data.objectives[y]), { anchor: `x${suffix}` });
  });
  const grid = { rows, columns, pattern: "independent", xgap: 0.22, ygap: 0.28 };
  const legend = { orientation: "h", yref: "container", y: 1, yanchor: "top", x: 0 };
  Plotly.react("pareto", traces, layout({
    ...axes, ...(shown.length > 1 ? { grid } : {}), shapes, annotations, legend, margin: { l: 64, r: 16, t: 48, b: 52 },
    hovermode: "closest", uirevision: String(pair), height: by("pareto").clientHeight,
  }), config);
}

// A search with one objective has no pair: its values by point.
function drawOnlyObjective() {
  const points = [...data.front, ...data.references.filter((p) => p.values[0] !== null)];
  Plotly.react("pareto", [{
    type: "bar", x: points.map((p) => plain(short(p.name))), y: points.map((p) => p.values[0]), customdata: points.map((p) => p.name),
    marker: { color: points.map((p) => color(p === picked ? "--good" : data.front.includes(p) ? "--accent" : "--reference")) },
    text: points.map(summary), textposition: "none", hovertemplate: "%{text}<extra></extra>",
  }], layout({ xaxis: axis("", { type: "category" }), yaxis: axis(axisTitle(data.objectives[0])) }), config);
}

// Parallel coordinates. Every axis runs from 0 (its best value) to 1; bits from few to many.
function parallelAxes() {
  const every = [...data.front, ...data.evaluated, ...data.references];
  const mean = (name) => (p) => {
    const bits = p.bits.filter((b, i) => b !== null && data.slots[i][1] === name);
    return bits.length ? bits.reduce((sum, b) => sum + b, 0) / bits.length : null;
  };
  const axes = data.objectives.map((o, i) => ({ label: heading(o), sign: signs[i], read: (p) => p.values[i] }));
  for (const name of ["weight", "input"]) {
    if (data.slots.some((slot) => slot[1] === name)) axes.push({ label: `mean ${name} bits`, sign: 1, read: mean(name) });
  }
  return axes.map((one) => {
    const found = every.map(one.read).filter((v) => v !== null);
    const low = Math.min(...found), high = Math.max(...found), span = high - low || 1;
    return { ...one, low, high, place: (p) => {
      const value = one.read(p);
      return value === null ? null : one.sign > 0 ? (value - low) / span : (high - value) / span;
    } };
  });
}
function drawParallel() {
  const axes = parallelAxes();
  const lines = (points, name, width, shade, extra) => {
    const x = [], y = [], text = [], customdata = [];
    for (const point of points) {
      const told = summary(point);
      axes.forEach((one, i) => { x.push(i); y.push(one.place(point)); text.push(told); customdata.push(point.name); });
      x.push(null); y.push(null); text.push(""); customdata.push(null);  // ends the line
    }
    return { type: "scatter", mode: "lines+markers", name, x, y, text, customdata, cliponaxis: false,
      line: { color: shade, width }, marker: { color: shade, size: width + 3 }, hovertemplate: "%{text}<extra></extra>", ...extra };
  };
  const known = (p) => axes.every((one) => one.place(p) !== null);
  const traces = [
    lines(view.behind, "evaluated", 1, color("--other"), { opacity: 0.25, hoverinfo: "skip", hovertemplate: null, mode: "lines" }),
    lines(view.front, "front", 1.5, color("--accent"), { opacity: 0.75 }),
    lines(data.references.filter(known), "same width everywhere", 1.5, color("--reference"), { line: { color: color("--reference"), width: 1.5, dash: "dot" } }),
    lines(known(picked) ? [picked] : [], "picked", 3, color("--good"), {}),
  ];
  const end = (one, value, y, yanchor) => ({ text: plain(number(value)), showarrow: false, x: axes.indexOf(one), y, yanchor, yshift: y ? 4 : -4,
    font: { color: color("--soft"), size: 12 } });
  Plotly.react("parallel", traces, layout({
    xaxis: axis("", { tickvals: axes.map((_, i) => i), ticktext: axes.map((one) => plain(one.label)), range: [-0.25, axes.length - 0.75],
      gridcolor: color("--other"), zeroline: false, fixedrange: true, ticklen: 20, tickcolor: "rgba(0,0,0,0)" }),
    yaxis: axis("", { visible: false, range: [-0.02, 1.02], fixedrange: true }),
    annotations: axes.flatMap((one) => [
      end(one, one.sign > 0 ? one.low : one.high, 0, "top"), end(one, one.sign > 0 ? one.high : one.low, 1, "bottom")]),
    margin: { l: 24, r: 24, t: 64, b: 56 }, legend: { orientation: "h", yref: "container", y: 1, yanchor: "top", x: 0 }, hovermode: "closest",
  }), config);
}

function drawTime() {
  const slider = by("generation");
  by("time").hidden = FIRST === LAST;
  slider.min = FIRST; slider.max = LAST; slider.value = moment;
  const reached = [...data.hypervolume].reverse().find((h) => h[0] <= moment);
  by("moment").textContent = `${moment} of ${LAST}: ${view.front.length} on the front, ${view.behind.length} behind it`
    + (reached ? `, hypervolume ${reached[1].toFixed(4)}` : "");
}
function goTo(generation) {
  moment = generation;
  look();
  drawPareto(); drawParallel(); drawProgress(); drawTime();
}

function drawBits() {
  const order = [...data.front].sort((a, b) => a.values[0] - b.values[0]);
  // Long names are cut, so the row number is the coordinate and the name only its label.
  const rows = data.slots.map((_, i) => i);
  const names = data.slots.map(([layer, slot]) => plain(`${short(layer)} ${short(slot)}`));
  const z = data.slots.map((_, i) => order.map((p) => (p.bits[i] ? Math.log2(p.bits[i]) : null)));
  const text = data.slots.map((_, i) => order.map((p) => p.bits[i]));
  const at = order.indexOf(picked);
  by("bits").style.height = `${Math.max(220, 90 + 22 * rows.length)}px`;
  Plotly.react("bits", [{
    type: "heatmap", z, y: rows, x: order.map((p) => plain(p.name)), text,
    customdata: data.slots.map((_, i) => order.map((p) => [names[i], p.name])),
    texttemplate: order.length <= 45 && by("bits").clientWidth / order.length > 16 ? "%{text}" : undefined, xgap: 1, ygap: 1, zmin: 1, zmax: 4,
    colorscale: ["--w2", "--w4", "--w8", "--w16"].map((name, i) => [i / 3, color(name)]), showscale: false,
    hovertemplate: "%{x}<br>%{customdata[0]}: %{text} bits<extra></extra>",
  }], layout({
    xaxis: axis(`front points, ${plain(data.objectives[0].label)} rising to the right`, { type: "category", showgrid: false }),
    yaxis: axis("", { autorange: "reversed", showgrid: false, zeroline: false, tickvals: rows, ticktext: names }),
    margin: { l: 90, r: 16, t: 30, b: 60 },
    shapes: at < 0 ? [] : [{ type: "rect", yref: "paper", y0: 0, y1: 1, x0: at - 0.5, x1: at + 0.5, line: { color: color("--good"), width: 2 } }],
  }), config);
}

function drawProgress() {
  if (!data.hypervolume.length) { by("progress").replaceChildren(make("p", "No progress was recorded.", "hint")); return; }
  const flat = data.hypervolume.every((h) => h[1] === data.hypervolume[0][1]);
  Plotly.react("progress", [{
    type: "scatter", mode: "lines+markers", x: data.hypervolume.map((h) => h[0]), y: data.hypervolume.map((h) => h[1]),
    line: { color: color("--accent"), width: 2, shape: "hv" }, marker: { size: 5 },
    hovertemplate: "generation %{x}<br>hypervolume %{y:.5f}<extra></extra>",
  }], layout({
    xaxis: axis("generation"), yaxis: axis("hypervolume (higher is better)", flat ? { rangemode: "tozero" } : {}),
    shapes: moment >= LAST ? [] : [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: moment, x1: moment, line: { color: color("--good"), width: 2 } }],
  }), config);
}

function table(head, rows) {
  const node = make("table");
  const top = make("tr");
  head.forEach((h) => top.append(make("th", h)));
  node.append(make("thead"));
  node.firstChild.append(top);
  const body = make("tbody");
  for (const row of rows) {
    const line = make("tr");
    row.forEach((cell) => line.append(make("td", cell)));
    body.append(line);
  }
  node.append(body);
  return node;
}

// For a POSIX shell: names come from models here too.
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`);

function drawDetail() {
  const aside = by("detail");
  const title = make("h3", picked.name);
  if (picked.name === data.chosen) title.append(make("span", "chosen", "tag"));
  const values = data.objectives.map((o, i) => [o.label, valueText(picked, i)]);
  for (const key of data.extra) if (key in picked.extra) values.push([key, number(picked.extra[key])]);
  const slots = [...new Set(data.slots.map((s) => s[1]))];
  const rows = layerRows(data.slots.map(([l, s], i) => [l, s, picked.bits[i]]))
    .map(([layer, cells]) => [layer, ...slots.map((s) => { const c = cells.find((e) => e[0] === s); return c ? c[1] : "–"; })]);
  if (picked.program) values.push(["parameters", "of a beacon"]);
  aside.replaceChildren(title, table(["objective", "value"], values));
  if (rows.length) {
    const made = table(["layer", ...slots.map((s) => `${s} bits`)], rows);
    made.className = "bits";
    made.querySelectorAll("td:not(:first-child)").forEach((cell) => {
      const bits = Number(cell.textContent);
      if (bits) cell.className = `w${[2, 4, 8].find((w) => bits <= w) ?? 16}`;
    });
    aside.append(made);
  }
  if (picked.estimate) {
    const e = picked.estimate;
    const cells = (row) => [row[0], ...row.slice(1).map(number)];
    const made = table(e.head, [...e.rows.map(cells), cells(e.total)]);
    made.className = "estimate";
    const counts = table(["layer", ...e.counters.map((name) => name.replace(/_/g, " "))], e.counts);
    const parts = make("details"), scroll = make("div", undefined, "scroll");
    scroll.append(counts);
    parts.append(make("summary", "What is counted: operations and memory traffic"), scroll);
    const wide = make("div", undefined, "scroll");
    wide.append(made);
    by("breakdown").replaceChildren(
      make("p", `${picked.name}: estimate for ${e.frames} frames, ${number(e.size)} KiB on the target`), wide, parts);
  } else {
    by("breakdown").replaceChildren(make("p", `${picked.name}: no estimate by layer. mohaq report makes them for the points of the front.`, "hint"));
  }
  if (picked.assignment) {
    const command = [["mohaq", "compile", picked.program || data.model], ["--target", data.target], ["--assignment", picked.assignment],
      ["-o", `compiled-${picked.name}`]].map((words) => words.map(quoted).join(" ")).join(" \\\n  ");
    const copy = make("button", "Copy", "copy");
    copy.addEventListener("click", () => {
      const area = make("textarea", command);
      document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
      copy.textContent = "Copied";
    });
    aside.append(make("div", "Compile it:"), make("pre", command), copy);
  }
}

let order = { column: 0, sign: 1 };
function drawTable() {
  const intervals = [...data.front, ...data.references].some((p) => p.interval);
  const columns = [["point", (p) => p.name, (p) => p.name]];
  data.objectives.forEach((o, i) => {
    columns.push([heading(o), (p) => p.values[i], (p) => number(p.values[i])]);
    if (o.name === "error" && intervals) {
      columns.push(["95 % interval", (p) => p.interval?.[0], (p) => (p.interval ? p.interval.map(number).join(" to ") : "–")]);
    }
  });
  data.extra.forEach((key) => columns.push([key, (p) => p.extra[key], (p) => number(p.extra[key])]));
  const read = columns[order.column][1];
  const compare = (a, b) => {
    const u = read(a), v = read(b);
    if (u === v) return 0;
    if (u === null || u === undefined) return 1;
    if (v === null || v === undefined) return -1;
    return order.sign * (typeof u === "string" ? u.localeCompare(v, "en", { numeric: true }) : u - v);
  };
  const points = [...data.references, ...[...data.front].sort(compare)];
  const made = table(columns.map(() => ""), points.map((p) => columns.map(([, , show]) => show(p))));
  made.id = "front";
  made.querySelectorAll("th").forEach((cell, i) => {
    const button = make("button", columns[i][0]);
    const sorted = i === order.column;
    cell.setAttribute("aria-sort", sorted ? (order.sign > 0 ? "ascending" : "descending") : "none");
    button.addEventListener("click", () => {
      order = { column: i, sign: sorted ? -order.sign : 1 };
      drawTable();
      by("front").querySelectorAll("th button")[i].focus();
    });
    cell.append(button);
  });
  lines = new Map();
  made.querySelectorAll("tbody tr").forEach((line, i) => {
    const point = points[i];
    lines.set(point, line);
    line.tabIndex = 0;
    line.dataset.point = point.name;
    if (data.references.includes(point)) line.classList.add("reference");
    if (point.name === data.chosen) line.firstChild.append(make("span", "chosen", "tag"));
    line.addEventListener("click", () => pick(point));
    line.addEventListener("keydown", (e) => {
      if (e.key === "Enter" || e.key === " ") { e.preventDefault(); pick(point); }
      if (e.key === "ArrowDown" || e.key === "ArrowUp") {
        const next = e.key === "ArrowDown" ? line.nextElementSibling : line.previousElementSibling;
        if (next) { e.preventDefault(); next.focus(); }
      }
    });
  });
  by("front").replaceWith(made);
  markLine();
}
let lines = new Map();

function markLine() {
  for (const [point, line] of lines) {
    line.classList.toggle("picked", point === picked);
    line.setAttribute("aria-selected", String(point === picked));
  }
}

function pick(point) {
  picked = point;
  drawPareto(); drawParallel(); drawDetail(); drawBits(); markLine();
}

function drawTabs() {
  const views = pairs.map(([x, y], i) => [`${data.objectives[y].label} / ${data.objectives[x].label}`, i]);
  if (pairs.length > 1) views.push(["all pairs", ALL]);
  by("tabs").replaceChildren(...views.map(([label, view]) => {
    const button = make("button", label);
    button.setAttribute("aria-pressed", String(view === pair));
    button.addEventListener("click", () => {
      pair = view;
      by("tabs").querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
      drawPareto();
    });
    return button;
  }));
}

for (const [label, value] of data.facts) {
  const box = make("div");
  box.append(make("dt", label), make("dd", value));
  by("facts").append(box);
}
for (const note of data.notes) by("notes").append(make("li", note));

const drawAll = () => { drawTabs(); drawPareto(); drawParallel(); drawTime(); drawDetail(); drawBits(); drawProgress(); drawTable(); };
drawAll();
const pickNamed = (name) => {
  const found = [...data.front, ...data.references, ...data.evaluated].find((p) => p.name === name);
  if (found) pick(found);
};
by("pareto").on("plotly_click", (event) => pickNamed(event.points[0].customdata));
by("parallel").on("plotly_click", (event) => pickNamed(event.points[0].customdata));
by("generation").addEventListener("input", (event) => goTo(Number(event.target.value)));
by("bits").on("plotly_click", (event) => pickNamed(event.points[0].customdata[1]));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.documentElement.dataset.ready = "true";
