"use strict";
// Pictures: plotly.js in the colours of the page, points, learning curves.

const TOUCH = matchMedia("(pointer: coarse)").matches;
const HOVER = matchMedia("(hover: hover)").matches; // else the buttons would stay, and hide what is below them
const DARK = matchMedia("(prefers-color-scheme: dark)");
// Okabe and Ito's palette, told apart by colour-blind readers; lighter on dark pages.
const PALETTE = {
  light: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#767676"],
  dark: ["#56B4E9", "#FF8A3D", "#2BC79A", "#E58CC0", "#F0C541", "#9AA8FF", "#C79A8C", "#B0B0B0"],
};
// From worst to best: also the worst line stands out from the paper, by a contrast of 3 to 1.
const SCALES = {
  light: [
    [128, 146, 164],
    [47, 127, 184],
    [8, 48, 107],
  ],
  dark: [
    [104, 118, 134],
    [74, 159, 212],
    [214, 239, 255],
  ],
};
const painted = new Map(); // element -> what draws it again when the colours change

const look = () => (DARK.matches ? "dark" : "light");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const empty = (value) => value === null || value === undefined || value === "";
const numeric = (value) => typeof value === "number" && Number.isFinite(value);

// Colours of lines: the palette, then hues that come near none of the ones before.
function colour(slot) {
  const palette = PALETTE[look()];
  return slot < palette.length
    ? palette[slot]
    : `hsl(${Math.round((slot * 137.508) % 360)}, 55%, ${DARK.matches ? 68 : 40}%)`;
}

function faint(shade) {
  return shade.startsWith("#") ? `${shade}33` : shade.replace("hsl(", "hsla(").replace(")", ", 0.2)");
}

// plotly.js reads its texts as HTML, and `%{...}` in them as a value.
function escaped(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "{": "&#123;" };
  return String(text).replace(/[&<>{]/g, (character) => entities[character]);
}

function written(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)));
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function shortened(text, longest) {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

// Empty cells stay at the end in both directions.
function compared(a, b, direction) {
  if (empty(a) || empty(b)) return (empty(a) - empty(b)) * (direction === "asc" ? 1 : -1);
  return numeric(a) && numeric(b) ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
}

// Map of the members of each group, in the order in which groups first come.
function grouped(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.get(keyOf(item))?.push(item) ?? groups.set(keyOf(item), [item]);
  return groups;
}

// Colours by name: "ink" is that of the page's text, the others are those of the palette.
const NAMED = ["blue", "vermilion", "green", "pink", "orange", "sky", "brown", "grey"];

function inked(part) {
  if (part === "ink") return css("--ink");
  if (NAMED.includes(part)) return colour(NAMED.indexOf(part));
  if (Array.isArray(part) || !part || typeof part !== "object") return part;
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, inked(value)]));
}

function draw(plot, data, layout = {}, options = {}) {
  painted.set(plot, () => draw(plot, data, layout, options));
  const axis = { gridcolor: css("--grid"), linecolor: css("--line"), zeroline: false, automargin: true, exponentformat: "power" };
  const background = css("--paper");
  const traces = data.map((trace) => ({
    ...trace,
    ...Object.fromEntries(
      ["line", "marker", "error_x"].filter((part) => trace[part]).map((part) => [part, inked(trace[part])]),
    ),
  }));
  // Plotly's own ticks between powers of ten are small digits without their power, and up to eight of them.
  const ticks = (own) => (own?.type === "log" ? { tickformat: ".6~g", nticks: 4 } : {});
  const { xaxis, yaxis, ...rest } = layout;
  return Plotly.react(
    plot,
    traces,
    {
      height: 320,
      margin: { l: 56, r: 16, t: 12, b: 44 },
      font: { family: "system-ui, sans-serif", size: 12, color: css("--ink") },
      paper_bgcolor: background,
      plot_bgcolor: background,
      hovermode: "closest",
      hoverlabel: { bgcolor: background, bordercolor: css("--line"), font: { color: css("--ink") }, align: "left" },
      showlegend: false,
      ...rest,
      dragmode: TOUCH ? false : (rest.dragmode ?? "zoom"), // a finger on a picture scrolls the page
      annotations: (rest.annotations ?? []).map((note) => ({
        font: { size: 11 },
        showarrow: false,
        yanchor: "middle",
        borderpad: 1,
        bgcolor: background,
        ...note,
      })),
      xaxis: { ...axis, ...ticks(xaxis), ...xaxis },
      yaxis: { ...axis, ...ticks(yaxis), ...yaxis },
    },
    {
      responsive: true,
      displaylogo: false,
      displayModeBar: HOVER && "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      ...options,
    },
  );
}

DARK.addEventListener("change", () =>
  painted.forEach((again, plot) => (plot.isConnected ? again() : painted.delete(plot))),
);

// Points

const LEGEND = { orientation: "h", x: 0, y: 1.01, xanchor: "left", yanchor: "bottom" };

function titled(text) {
  return { title: { text: escaped(text), standoff: 8 } };
}

// A line among points; null interrupts it.
function lineOf(x, y, { name, color, width = 1, ...look }) {
  const line = { color, width, ...look };
  return { type: "scatter", mode: "lines", name: escaped(name ?? ""), x, y, hoverinfo: "skip", line };
}

// One picture of points. `groups`: [{name, members, marker, trace?}], each with marks of its own; a member's place is
// (x, y), its `text` is shown where the mouse is, and a click tells its `key`.
function drawPoints(plot, groups, { x, y, text, key }, { lines = [], ...layout } = {}) {
  const points = groups.map(({ name, members, marker, trace }) => ({
    type: "scatter",
    mode: "markers",
    name: escaped(shortened(name, 40)),
    x: members.map(x),
    y: members.map(y),
    text: members.map((one) => escaped(text(one)).replace(/\n/g, "<br>")),
    hoverinfo: "text",
    customdata: members.map(key),
    marker: { size: 8, opacity: 0.8, ...marker },
    ...trace,
  }));
  const traces = [...lines, ...points].filter((trace) => trace.x.length);
  const usual = { height: 380, margin: { l: 64, r: 20, t: 40, b: 56 }, showlegend: true, legend: LEGEND };
  return draw(plot, traces, { ...usual, ...layout });
}

// Learning curves

// The running mean of TensorBoard, without the pull of its start; what is no number is left out.
function smoothed(values, weight) {
  let last = 0;
  let seen = 0;
  return values.map((value) => {
    if (!numeric(value)) return null;
    last = last * weight + (1 - weight) * value;
    seen += 1;
    return last / (1 - weight ** seen);
  });
}

// The mean of the lines of several runs at each epoch that any of them has, where on the x axis that is on average, the
// sample standard deviation, and of how many runs.
function meanOfLines(lines) {
  const points = lines.flatMap(({ epoch, x, y }) => epoch.map((at, i) => ({ at, x: x[i], y: y[i] })));
  const epochs = grouped(
    points.filter((point) => numeric(point.y)),
    (point) => point.at,
  );
  const members = [...epochs.keys()].sort((a, b) => a - b).map((at) => epochs.get(at));
  const stats = members.map((some) => meanAndSpread(some.map((point) => point.y)));
  return {
    x: members.map((some) => meanAndSpread(some.map((point) => point.x)).mean),
    y: stats.map((one) => one.mean),
    spread: stats.map((one) => one.std),
    text: members.map((some) => `, mean of ${some.length}`),
  };
}

function meanAndSpread(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null };
}

const PARTS = [
  ["train_", "dot", "training"],
  ["val_", "solid", "validation"],
  ["", "solid", ""],
];

// The axis of lines that all have one value: Plotly's would go from 1 below it to 1 above, and a learning rate of 0.001
// would be on its zero.
function aroundOneValue(data) {
  const values = new Set(data.flatMap((trace) => trace.y).filter(numeric));
  const [value] = values;
  return values.size === 1 && value ? { range: [Math.min(0, 2 * value), Math.max(0, 2 * value)] } : {};
}

// Of an axis of whole numbers up to `most`: where they are few there would be ticks between them.
const wholeTicks = (most) => (most <= 8 ? { dtick: 1 } : {});

// One picture of one metric. `lines`: [{name, slot, runs: [{column: values}]}], a line for each; several runs of one
// line are drawn as their mean with a band of one standard deviation. `look` stands for the colour of the slot.
function drawCurves(
  plot,
  lines,
  metric,
  { x = "epoch", smooth = 0, logX = false, logY = false, height = 300, points = false } = {},
) {
  const data = [];
  for (const { name, slot, runs, key, look: own } of lines) {
    for (const [part, dash, says] of PARTS) {
      const found = runs
        .filter((run) => run[part + metric] && run[x])
        .map((run) => ({ epoch: run.epoch, x: run[x], y: run[part + metric], text: run[x].map(() => "") }));
      if (!found.length) continue;
      const line = found.length > 1 ? meanOfLines(found) : found[0];
      const shade = own?.color ?? colour(slot);
      const base = {
        type: "scatter",
        mode: points || line.x.length < 3 ? "lines+markers" : "lines",
        x: line.x,
        marker: { size: 4 },
      };
      if (line.spread) {
        const high = line.y.map((value, i) => value + (line.spread[i] ?? 0));
        const low = line.y.map((value, i) => value - (line.spread[i] ?? 0));
        const edge = { ...base, mode: "lines", line: { width: 0, color: shade }, hoverinfo: "skip" };
        data.push({ ...edge, y: low }, { ...edge, y: high, fill: "tonexty", fillcolor: faint(shade) });
      } else if (smooth) {
        data.push({ ...base, y: line.y, opacity: 0.3, line: { color: shade, width: 1, dash }, hoverinfo: "skip" });
      }
      data.push({
        ...base,
        y: smooth ? smoothed(line.y, smooth) : line.y,
        line: { color: shade, width: 2, dash, ...own },
        text: line.text,
        customdata: line.x.map(() => key),
        hovertemplate: `${escaped(name)}${says && `, ${says}`}%{text}<br>${x} %{x:.5~g}: %{y:.4~g}<extra></extra>`,
      });
    }
  }
  const most = x === "time" || logX ? Infinity : Math.max(...data.map((trace) => trace.x.at(-1)));
  return draw(plot, data, {
    height,
    xaxis: {
      title: { text: x === "time" ? "seconds" : x, standoff: 6 },
      type: logX ? "log" : "linear",
      ...wholeTicks(most),
    },
    yaxis: {
      title: { text: escaped(metric), standoff: 6 },
      type: logY ? "log" : "linear",
      ...(logY ? {} : aroundOneValue(data)),
    },
  });
}
