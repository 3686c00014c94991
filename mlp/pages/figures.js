"use strict";
// Pictures: plotly.js in the colours of the page, learning curves, parallel coordinates.

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
  const axis = { gridcolor: css("--grid"), linecolor: css("--line"), zeroline: false, automargin: true };
  const background = css("--paper");
  const traces = data.map((trace) => ({
    ...trace,
    ...Object.fromEntries(
      ["line", "marker", "error_x"].filter((part) => trace[part]).map((part) => [part, inked(trace[part])]),
    ),
  }));
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
      xaxis: { ...axis, ...xaxis },
      yaxis: { ...axis, ...yaxis },
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

// Parallel coordinates

// Values as an axis, of numbers or of choices. What is not said is found: numbers are numbers, and on a logarithmic
// scale where they are positive and span two decades.
function axisOf({ name, choices, log }, values) {
  const full = values.filter((value) => value !== null && value !== undefined);
  const isNumber = !choices && full.every(numeric);
  const kinds = isNumber
    ? null
    : (choices ?? [...new Set(full.map(String))].sort((a, b) => a.localeCompare(b, undefined, { numeric: true })));
  const low = isNumber ? Math.min(...full) : 0;
  const high = isNumber ? Math.max(...full) : kinds.length - 1;
  const isLog = isNumber && low > 0 && (log ?? high >= 100 * low);
  const scale = isLog ? Math.log : Number;
  const place = (value) => (high > low ? (scale(value) - scale(low)) / (scale(high) - scale(low)) : 0.5);
  let ticks = isNumber ? [low, high] : kinds.map((_, i) => i);
  if (isNumber && high > low) {
    const inner = isLog
      ? Array.from(
          { length: Math.ceil(Math.log10(high / low)) + 1 },
          (_, i) => 10 ** (Math.ceil(Math.log10(low)) + i),
        )
      : [0.25, 0.5, 0.75]
          .map((share) => low + share * (high - low))
          .filter((value) => !full.every(Number.isInteger) || Number.isInteger(value));
    ticks = [low, ...inner.filter((value) => place(value) > 0.08 && place(value) < 0.92), high];
  }
  return {
    name,
    lacks: full.length < values.length,
    isChoice: !isNumber,
    at: (value) =>
      value === null || value === undefined ? null : place(isNumber ? value : kinds.indexOf(String(value))),
    ticks: [...new Set(ticks)].map((value) => [
      place(value),
      isNumber ? Number(value.toPrecision(3)).toString() : kinds[value],
    ]),
  };
}

// Between worst (0) and best (1).
function shade(share) {
  const scale = SCALES[look()];
  const [from, to] = share < 0.5 ? [scale[0], scale[1]] : [scale[1], scale[2]];
  const step = share < 0.5 ? 2 * share : 2 * share - 1;
  return `rgb(${from.map((value, i) => Math.round(value + step * (to[i] - value))).join(",")})`;
}

function shortened(text, longest) {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

// A line over `axes`, [{name, choices?, log?}], for each of `lines`, best first: [{key, text, slot?, values}]. Without a slot of its own
// its colour is its rank. What a line lacks is at the bottom. Drag along an axis: only the lines that cross there stay.
function drawParallel(plot, axes, lines, { onClick, best = true } = {}) {
  const columns = axes.map((axis, i) =>
    axisOf(
      axis,
      lines.map((line) => line.values[i]),
    ),
  );
  const rank = (place) => 1 - place / Math.max(1, lines.length - 1);
  const absent = -0.14;
  const again = () => {
    const ordered = lines
      .map((line, place) => ({
        line,
        color: line.slot !== undefined ? colour(line.slot) : best && !place ? css("--mark") : shade(rank(place)),
        width: line.slot !== undefined ? 2 : best && !place ? 3 : 1.3,
        y: columns.map((column, i) => {
          const at = column.at(line.values[i]);
          return (at ?? absent) + (at === null || column.isChoice ? 0.05 * (rank(place) - 0.5) : 0); // lines of one choice fan out
        }),
      }))
      .reverse(); // the best ones on top
    const across = columns.map((_, i) => i);
    const handles = {
      type: "scatter",
      mode: "markers",
      x: ordered.flatMap(() => across),
      y: ordered.flatMap((one) => one.y),
      hoverinfo: "text",
      text: ordered.flatMap((one) => columns.map(() => escaped(one.line.text).replace(/\n/g, "<br>"))),
      customdata: ordered.flatMap((one) => columns.map(() => one.line.key)),
      marker: { size: 5, color: ordered.flatMap((one) => columns.map(() => one.color)) },
      selected: { marker: { opacity: 1 } },
      unselected: { marker: { opacity: 0.08 } },
    };
    const titles = columns.map((column, i) => ({
      x: i,
      y: 1.06,
      text: `<b>${escaped(column.name)
        .replace(/([._])/g, "$1\u200b")
        .replace(/(.{8,}?[._ ]\u200b?)/g, "$1<br>")}</b>`,
      yanchor: "bottom",
      xanchor: "center",
    }));
    const ticks = columns.flatMap((column, i) =>
      column.ticks.map(([y, text]) => ({ x: i, y, text: escaped(shortened(text, 14)), xanchor: "left", xshift: 4 })),
    );
    const lacks = columns.some((column) => column.lacks);
    const bare = { visible: false, fixedrange: true };
    plot.style.minWidth = `${88 * columns.length}px`;
    draw(
      plot,
      [
        ...ordered.map((one) => ({
          type: "scatter",
          mode: "lines",
          x: across,
          y: one.y,
          hoverinfo: "skip",
          line: { color: one.color, width: one.width },
          customdata: [one.line.key],
          opacity: 1,
        })),
        handles,
      ],
      {
        height: 520,
        dragmode: "select",
        selectdirection: "v",
        margin: { l: 40, r: 80, t: 10, b: 10 },
        annotations: [
          ...titles,
          ...ticks,
          ...(lacks ? [{ x: -0.05, y: absent, text: "not<br>there", xanchor: "right" }] : []),
        ],
        shapes: across.map((i) => ({
          type: "line",
          x0: i,
          x1: i,
          y0: 0,
          y1: 1,
          line: { color: css("--line"), width: 1 },
          layer: "below",
        })),
        xaxis: { ...bare, range: [-0.3, columns.length - 0.6] },
        yaxis: { ...bare, range: [lacks ? -0.22 : -0.05, 1.22] },
      },
      { displayModeBar: false },
    );
    painted.set(plot, again);
  };
  again();
  const show = (chosen) => {
    const opacity = plot.data.slice(0, -1).map((line) => (!chosen || chosen.has(line.customdata[0]) ? 1 : 0.05));
    Plotly.restyle(plot, { opacity }, [...opacity.keys()]);
  };
  for (const name of ["plotly_selected", "plotly_deselect", "plotly_click"]) plot.removeAllListeners?.(name);
  plot.on("plotly_selected", (event) =>
    show(event?.points.length ? new Set(event.points.map((point) => point.customdata)) : null),
  );
  plot.on("plotly_deselect", () => show(null));
  plot.on("plotly_click", (event) => onClick?.(event.points[0].customdata));
}
