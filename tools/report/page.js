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
  return String(Number(value.toPrecision(4)));
};
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const axisTitle = (o) => `${plain(o.label)} [${plain(o.unit)}]`;

const pairs = [];
data.objectives.forEach((_, i) => data.objectives.forEach((_, j) => { if (i < j) pairs.push([j, i]); }));
let pair = 0;
let picked = data.front.find((p) => p.name === data.chosen) || data.front[0];

const summary = (point) => {
  const bits = data.slots.map(([layer, slot], i) => [layer, slot, point.bits[i]]);
  const rows = layerRows(bits).map(([layer, cells]) =>
    `${plain(layer)}: ${cells.map(([slot, b]) => `${plain(slot)} ${b}`).join(", ")}`);
  const shown = rows.length > 14 ? [...rows.slice(0, 13), `and ${rows.length - 13} more`] : rows;
  const values = data.objectives.map((o, i) => `${plain(o.label)}: ${number(point.values[i])} ${plain(o.unit)}`);
  return [`<b>${plain(point.name)}</b>`, ...values, ...shown].join("<br>");
};
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
const config = { displaylogo: false, displayModeBar: "hover", responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"] };

function drawPareto() {
  const [x, y] = pairs[pair];
  const trace = (points, name, marker, extra) => ({
    type: "scatter", mode: "markers", name, marker,
    x: points.map((p) => p.values[x]), y: points.map((p) => p.values[y]),
    text: points.map(summary), hovertemplate: "%{text}<extra></extra>", customdata: points.map((p) => p.name), ...extra,
  });
  const known = (p) => p.values[x] !== null && p.values[y] !== null;
  const references = data.references.filter(known);
  const floats = data.references.filter((p) => !known(p) && p.values[y] !== null);
  const traces = [
    trace(data.evaluated, "evaluated", { color: color("--other"), size: 6, opacity: 0.45 }),
    trace(data.front, "front", { color: color("--accent"), size: 10, line: { color: color("--card"), width: 1 } }),
    trace(references, "same width everywhere", { color: color("--reference"), size: 12, symbol: "diamond" },
      { mode: "markers+text", text: references.map((p) => plain(p.name)), textposition: "top center",
        textfont: { color: color("--reference"), size: 12 }, hovertext: references.map(summary), hovertemplate: "%{hovertext}<extra></extra>" }),
    trace(known(picked) ? [picked] : [], "picked", { color: "rgba(0,0,0,0)", size: 20, line: { color: color("--good"), width: 3 } }, { hoverinfo: "skip", hovertemplate: null }),
  ];
  const shapes = floats.map((p) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: p.values[y], y1: p.values[y],
    line: { color: color("--reference"), width: 1.5, dash: "dot" } }));
  const annotations = floats.map((p) => ({ xref: "paper", x: 1, xanchor: "right", y: p.values[y], yanchor: "bottom",
    text: plain(p.name), showarrow: false, font: { color: color("--reference"), size: 12 } }));
  Plotly.react("pareto", traces, layout({
    xaxis: axis(axisTitle(data.objectives[x])), yaxis: axis(axisTitle(data.objectives[y])),
    shapes, annotations, hovermode: "closest",
  }), config);
}

function drawBits() {
  const order = [...data.front].sort((a, b) => a.values[0] - b.values[0]);
  const rows = data.slots.map(([layer, slot]) => plain(`${layer} ${slot}`));
  const z = data.slots.map((_, i) => order.map((p) => (p.bits[i] ? Math.log2(p.bits[i]) : null)));
  const text = data.slots.map((_, i) => order.map((p) => p.bits[i]));
  by("bits").style.height = `${Math.max(220, 90 + 22 * rows.length)}px`;
  Plotly.react("bits", [{
    type: "heatmap", z, y: rows, x: order.map((p) => plain(p.name)), text,
    texttemplate: order.length <= 45 ? "%{text}" : undefined, xgap: 1, ygap: 1, zmin: 1, zmax: 4,
    colorscale: [[0, color("--accent-soft")], [1, color("--accent")]], showscale: false,
    hovertemplate: "%{x}<br>%{y}: %{text} bits<extra></extra>",
  }], layout({
    xaxis: axis(`front points, ${plain(data.objectives[0].label)} rising to the right`, { type: "category", showgrid: false }),
    yaxis: axis("", { autorange: "reversed", showgrid: false }), margin: { l: 90, r: 16, t: 8, b: 60 },
  }), config);
}

function drawProgress() {
  if (!data.hypervolume.length) { by("progress").replaceChildren(make("p", "No progress was recorded.", "hint")); return; }
  Plotly.react("progress", [{
    type: "scatter", mode: "lines+markers", x: data.hypervolume.map((h) => h[0]), y: data.hypervolume.map((h) => h[1]),
    line: { color: color("--accent"), width: 2, shape: "hv" }, marker: { size: 5 },
    hovertemplate: "generation %{x}<br>hypervolume %{y:.5f}<extra></extra>",
  }], layout({ xaxis: axis("generation"), yaxis: axis("hypervolume (higher is better)") }), config);
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

function drawDetail() {
  const aside = by("detail");
  const title = make("h3", picked.name);
  if (picked.name === data.chosen) title.append(make("span", "chosen", "tag"));
  const values = data.objectives.map((o, i) => [o.label, `${number(picked.values[i])} ${o.unit}`]);
  for (const key of data.extra) if (key in picked.extra) values.push([key, number(picked.extra[key])]);
  const slots = [...new Set(data.slots.map((s) => s[1]))];
  const rows = layerRows(data.slots.map(([l, s], i) => [l, s, picked.bits[i]]))
    .map(([layer, cells]) => [layer, ...slots.map((s) => { const c = cells.find((e) => e[0] === s); return c ? c[1] : "–"; })]);
  aside.replaceChildren(title, table(["objective", "value"], values));
  if (rows.length) aside.append(table(["layer", ...slots.map((s) => `${s} bits`)], rows));
  if (picked.assignment) {
    const command = `mohaq compile ${data.model} --target ${data.target} --assignment ${picked.assignment} -o compiled-${picked.name}`;
    const copy = make("button", "Copy", "copy");
    copy.addEventListener("click", () => {
      const area = make("textarea", command);
      document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
      copy.textContent = "Copied";
    });
    aside.append(make("div", "Compile it (from the run folder):"), make("pre", command), copy);
  }
}

let order = { column: 0, sign: 1 };
function drawTable() {
  const columns = [["point", (p) => p.name],
    ...data.objectives.map((o, i) => [`${o.label} [${o.unit}]`, (p) => p.values[i]]),
    ...data.extra.map((key) => [key, (p) => p.extra[key]])];
  const read = columns[order.column][1];
  const compare = (a, b) => {
    const u = read(a), v = read(b);
    if (u === v) return 0;
    if (u === null || u === undefined) return 1;
    if (v === null || v === undefined) return -1;
    return order.sign * (typeof u === "string" ? u.localeCompare(v, "en", { numeric: true }) : u - v);
  };
  const points = [...data.references, ...[...data.front].sort(compare)];
  const rows = points.map((p) => columns.map(([, get], i) => (i ? number(get(p)) : get(p))));
  const made = table(columns.map(([label], i) => label + (i === order.column ? (order.sign > 0 ? " ▲" : " ▼") : "")), rows);
  made.id = "front";
  made.querySelectorAll("th").forEach((cell, i) => cell.addEventListener("click", () => {
    order = { column: i, sign: i === order.column ? -order.sign : 1 };
    drawTable();
  }));
  made.querySelectorAll("tbody tr").forEach((line, i) => {
    const point = points[i];
    line.tabIndex = 0;
    line.dataset.point = point.name;
    if (data.references.includes(point)) line.classList.add("reference");
    if (point === picked) line.classList.add("picked");
    line.addEventListener("click", () => pick(point));
    line.addEventListener("keydown", (e) => { if (e.key === "Enter") pick(point); });
  });
  by("front").replaceWith(made);
}

function pick(point) {
  picked = point;
  drawPareto(); drawDetail(); drawTable();
}

function drawTabs() {
  by("tabs").replaceChildren(...pairs.map(([x, y], i) => {
    const button = make("button", `${data.objectives[y].label} / ${data.objectives[x].label}`);
    button.setAttribute("role", "tab");
    button.setAttribute("aria-selected", String(i === pair));
    button.addEventListener("click", () => { pair = i; drawTabs(); drawPareto(); });
    return button;
  }));
}

for (const [label, value] of data.facts) {
  const box = make("div");
  box.append(make("dt", label), make("dd", value));
  by("facts").append(box);
}
for (const note of data.notes) by("notes").append(make("li", note));

const drawAll = () => { drawTabs(); drawPareto(); drawDetail(); drawBits(); drawProgress(); drawTable(); };
drawAll();
by("pareto").on("plotly_click", (event) => {
  const name = event.points[0].customdata;
  const found = [...data.front, ...data.references, ...data.evaluated].find((p) => p.name === name);
  if (found) pick(found);
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.documentElement.dataset.ready = "yes";
