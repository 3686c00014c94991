"use strict";
// The report: figures that answer to the mouse in place of their pictures, and tables that can be sorted. Without this
// script, and on paper, there are the pictures.

const plots = JSON.parse(document.getElementById("data").textContent);

// A colour of matplotlib on this page: that of the palette by its name, others light enough for dark paper.
function onPage(name) {
  if (!name.startsWith("#")) return inked({ color: name }).color;
  if (!DARK.matches) return name;
  const parts = [1, 3, 5].map((at) => parseInt(name.slice(at, at + 2), 16));
  const bright = (0.3 * parts[0] + 0.59 * parts[1] + 0.11 * parts[2]) / 255;
  const missing = Math.max(0, 0.45 - bright) / (1 - bright);
  return `#${parts.map((part) => Math.round(part + missing * (255 - part)).toString(16).padStart(2, "0")).join("")}`;
}

// Where a value is on an axis, in words: its tick if it has one.
function placed(axis, value) {
  const at = axis.ticks ? axis.ticks.at.indexOf(value) : -1;
  return at < 0 ? written(value) : axis.ticks.text[at];
}

function traceOf(series, panel) {
  const color = onPage(series.color);
  const { name, kind, x, y } = series;
  const base = { type: "scatter", x, y, name: escaped(name), hoverinfo: "skip" };
  if (kind === "band")
    return { ...base, mode: "lines", fill: "toself", fillcolor: faint(color), line: { width: 0, color } };
  const [across, up] = [panel.x, panel.y].map(({ label }) => label.replace(/ \(log scale\)|, log scale(?=\))/, ""));
  const says = (value, i) =>
    [name, series.text?.[i], `${across} ${placed(panel.x, value)}`, `${up}: ${placed(panel.y, y[i])}`]
      .filter(Boolean)
      .map(escaped)
      .join("<br>");
  return {
    ...base,
    mode: [series.dash && "lines", series.mark && "markers"].filter(Boolean).join("+"),
    line: { color, width: series.width, dash: series.dash, shape: series.step ?? "linear" },
    marker: { color, size: 6, symbol: series.mark, line: { width: series.mark?.startsWith("x") ? 1.5 : 1, color } },
    ...(kind === "line" ? { text: x.map(says), hoverinfo: "text" } : {}),
  };
}

function layoutOf({ label, log, range, ticks }) {
  const named = ticks ? { tickvals: ticks.at, ticktext: ticks.text.map((text) => escaped(shortened(text, 24))) } : {};
  // Of more than two decades only the powers of ten are marked, as in the picture.
  const decades = range[1] - range[0];
  const marks = !log ? {} : decades <= 2.2 ? { nticks: Math.max(3, Math.floor(decades / 0.31)) } : { tickformat: "" };
  const few = !log && !ticks && Math.abs(range[1] - range[0]) <= 8 && /^(epoch|layer|hidden layers)$/.test(label);
  return { ...titled(label), type: log ? "log" : "linear", range, ...named, ...marks, ...(few ? { dtick: 1 } : {}) };
}

function drawPanel(plot, panel) {
  const notes = panel.notes.map(({ x, y, text, side }) => ({
    x: panel.x.log ? Math.log10(x) : x,
    y: panel.y.log ? Math.log10(y) : y,
    text: escaped(text),
    xanchor: side,
    xshift: side === "right" ? -7 : 7,
  }));
  const traces = panel.series.map((series) => traceOf(series, panel));
  draw(plot, traces, { height: 300, xaxis: layoutOf(panel.x), yaxis: layoutOf(panel.y), annotations: notes });
  painted.set(plot, () => drawPanel(plot, panel));
}

// The lines of all panels, each name once.
function legendOf(panels) {
  const named = new Map();
  for (const one of panels.flatMap((panel) => panel.series)) if (one.name && !named.has(one.name)) named.set(one.name, one);
  const items = [...named.values()].map((series) => {
    const sample = element("div", { className: "sample" });
    return [element("li", {}, sample, series.name), sample, series];
  });
  const list = element("ul", { className: "legend" }, ...items.map(([item]) => item));
  return [list, () => items.forEach(([, sample, series]) => sketch(sample, series))];
}

// Symbols of plotly.js around (0, 0).
const SYMBOLS = {
  circle: "M3.2 0A3.2 3.2 0 1 1-3.2 0A3.2 3.2 0 1 1 3.2 0Z",
  square: "M-3-3H3V3H-3Z",
  diamond: "M0-4.2L4.2 0L0 4.2L-4.2 0Z",
  cross: "M-1.4-4H1.4V-1.4H4V1.4H1.4V4H-1.4V1.4H-4V-1.4H-1.4Z",
  x: "M0-1.8L2.2-4L4-2.2L1.8 0L4 2.2L2.2 4L0 1.8L-2.2 4L-4 2.2L-1.8 0L-4-2.2L-2.2-4Z",
  "x-thin": "M-3.2-3.2L3.2 3.2M-3.2 3.2L3.2-3.2",
  "triangle-up": "M0-3.8L3.6 3H-3.6Z",
  "triangle-down": "M0 3.8L3.6-3H-3.6Z",
  "triangle-left": "M-3.8 0L3-3.6V3.6Z",
  "triangle-right": "M3.8 0L-3-3.6V3.6Z",
};

function sketch(place, { color, dash, mark }) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", "26");
  svg.setAttribute("height", "10");
  const add = (tag, given) => {
    const made = document.createElementNS(svg.namespaceURI, tag);
    for (const [key, value] of Object.entries(given)) made.setAttribute(key, value);
    svg.append(made);
  };
  const stroke = onPage(color);
  const dashes = { dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };
  if (dash) add("line", { x1: 0, x2: 26, y1: 5, y2: 5, stroke, "stroke-width": 2, "stroke-dasharray": dashes[dash] ?? "" });
  const fill = mark?.endsWith("-open") ? "none" : stroke;
  if (mark) add("path", { d: SYMBOLS[mark.replace("-open", "")], transform: "translate(13 5)", stroke, fill });
  place.replaceChildren(svg);
}

// Folded figures have no width before they are opened.
const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries.filter((entry) => entry.isIntersecting)) {
      seen.unobserve(target);
      target.$draw();
    }
  },
  { rootMargin: "400px" },
);

for (const figure of document.querySelectorAll("figure[data-plot]")) {
  const { parallel, panels, columns } = plots[figure.dataset.plot];
  const drawing = element("div", { className: "drawing" });
  const later = (plot, height, paint) => {
    plot.style.minHeight = `${height}px`;
    plot.$draw = paint;
    seen.observe(plot);
  };
  if (parallel) {
    const plot = element("div");
    drawing.append(element("div", { className: "wide" }, plot));
    later(plot, 520, () => drawParallel(plot, parallel.axes, parallel.lines));
  } else {
    // Panels with legends of their own mean different things by one name; a panel with a name that is not in the only
    // legend, such as another count, gets its own.
    const keyed = panels.filter((panel) => panel.legend);
    const known = new Set((keyed.length ? keyed : panels).flatMap((panel) => panel.series.map(({ name }) => name)));
    const apart = keyed.length > 1 || panels.some((panel) => panel.series.some(({ name }) => name && !known.has(name)));
    const legend = (some) => {
      const [list, paint] = legendOf(some);
      if (!list.children.length) return [];
      paint();
      painted.set(list, paint);
      return [list];
    };
    const grid = element("div", { className: "grid" });
    // As many beside each other as in the picture; where they are too narrow, an even number goes by twos.
    const share = (parts) => `(100% / ${parts} - 0.75rem)`;
    const twos = panels.length % 2 ? "0px" : `min(${share(2)}, (240px - ${share(columns)}) * 9999)`;
    grid.style.setProperty("--cell", `max(240px, ${share(columns)}, ${twos})`);
    for (const panel of panels) {
      const plot = element("div");
      const title = panel.title ? [element("h3", { textContent: panel.title })] : [];
      grid.append(element("div", {}, ...title, ...(apart ? legend([panel]) : []), plot));
      later(plot, 300, () => drawPanel(plot, panel));
    }
    drawing.append(...(apart ? [] : legend(panels)), grid);
  }
  figure.classList.add("drawn");
  figure.insertBefore(drawing, figure.querySelector("figcaption"));
}

const hint = document.getElementById("hint");
const all = [...document.querySelectorAll("figure")];
const count = all.filter((figure) => figure.classList.contains("drawn")).length;
const which = count < all.length ? `${count} of the ${all.length} figures are interactive; the others are fixed pictures. ` : "";
const mouse = "Point at a line or a marker for its numbers, drag to zoom, double-click to zoom out. ";
const own = document.querySelector(".drawing > .wide") ? `Parallel coordinates: ${BRUSHES[0].toLowerCase()}${BRUSHES.slice(1)} ` : "";
const first = count ? `${which}${TOUCH ? "Tap a line or a marker for its numbers. " : mouse}${own}` : "";
hint.textContent = `${first}${TOUCH ? "Tap" : "Click"} the header of a table to sort it.`;
hint.hidden = false;

// Tables

const POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

// The number that a cell begins with, as `97.69 ± 0.10 %`, `1,234` or `(1.6 ± 0.2) × 10⁻⁶`; null where it is no number.
function numberOf(text) {
  const found = text.match(
    /^[(+]?([-−]?[\d,]*\.?\d+)(?:\s*±\s*[\d.]+)?\)?(?:\s*×\s*10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?(?:\s*(?:%|s|min|points|epochs?|±.*))?$/,
  );
  if (!found) return null;
  const power = [...(found[2] ?? "")].map((digit) => (digit === "⁻" ? "-" : POWERS.indexOf(digit))).join("");
  return Number(found[1].replace(/,/g, "").replace("−", "-")) * 10 ** Number(power);
}

for (const table of document.querySelectorAll("table:not(.answers)")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  if (rows.length < 3) continue;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const texts = rows.map((row) => row.cells[column].textContent.trim()).map((text) => (/^[-–]?$/.test(text) ? null : text));
    const numbers = texts.every((text) => text === null || numberOf(text) !== null);
    const values = new Map(rows.map((row, i) => [row, texts[i] !== null && numbers ? numberOf(texts[i]) : texts[i]]));
    const button = element("button", { type: "button", title: "sort" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[head.ariaSort] ?? (head.ariaSort ? null : "ascending");
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (next) head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const ordered = next
        ? [...rows].sort((a, b) => sign * compared(values.get(a), values.get(b), next === "descending" ? "desc" : "asc"))
        : rows;
      body.append(...ordered);
    });
  });
}
