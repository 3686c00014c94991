"use strict";
// Parallel coordinates: an axis for each parameter, a line for each trial or run.

const MOST_NAMED = 16; // choices on an axis
const LEAST_WIDTH = 80; // pixels from axis to axis, for nine letters in bold
const FINGER = 24; // pixels beside an axis where a finger moves a box along it, and not the page
const BRUSHES = TOUCH
  ? "Drag a finger up or down along one or more axes to keep the lines that cross there; tap an axis outside its box to remove the box."
  : "Drag along one or more axes to keep the lines that cross there; click an axis outside its box to remove the box, double-click to remove all.";
const ACCURACIES = [0.2, 0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995]; // ticks

// Values as an axis, of numbers or of choices. What is not said is found: numbers are numbers, and on a logarithmic
// scale where they are positive and span two decades. With `least` they are accuracies, on a scale that is logarithmic
// in the error, of which less than `least` counts as that.
function axisOf({ name, choices, log, least }, values) {
  const full = values.filter((value) => value !== null && value !== undefined);
  const isNumber = !choices && full.every(numeric);
  const kinds = isNumber
    ? null
    : (choices ?? [...new Set(full.map(String))].sort((a, b) => a.localeCompare(b, undefined, { numeric: true })));
  const low = isNumber ? Math.min(...full) : 0;
  const high = isNumber ? Math.max(...full) : kinds.length - 1;
  const isLog = isNumber && !least && low > 0 && (log ?? high >= 100 * low);
  const scale = least ? (value) => -Math.log(Math.max(1 - value, least)) : isLog ? Math.log : Number;
  const place = (value) => (high > low ? (scale(value) - scale(low)) / (scale(high) - scale(low)) : 0.5);
  let ticks = isNumber ? [low, high] : kinds.map((_, i) => i);
  if (isNumber && high > low) {
    const inner = isLog
      ? Array.from(
          { length: Math.ceil(Math.log10(high / low)) + 1 },
          (_, i) => 10 ** (Math.ceil(Math.log10(low)) + i),
        )
      : least
        ? ACCURACIES.filter((value) => value > low && value < high)
        : [0.25, 0.5, 0.75]
            .map((share) => low + share * (high - low))
            .filter((value) => !full.every(Number.isInteger) || Number.isInteger(value));
    ticks = [low, ...inner.filter((value) => place(value) > 0.08 && place(value) < 0.92), high];
  }
  // Of many choices every second, third ... is named.
  ticks = ticks.filter((_, i) => isNumber || i % Math.ceil(kinds.length / MOST_NAMED) === 0);
  return {
    name,
    lacks: full.length < values.length,
    isChoice: !isNumber,
    few: !isNumber && kinds.length <= 6,
    at: (value) =>
      value === null || value === undefined ? null : place(isNumber ? value : kinds.indexOf(String(value))),
    ticks: [...new Set(ticks)].map((value) => [
      place(value),
      least ? `${Number((100 * value).toPrecision(4))} %` : isNumber ? `${Number(value.toPrecision(3))}` : kinds[value],
    ]),
  };
}

// A long name on several lines, so that it stays clear of the next axis.
function broken(text) {
  return escaped(text)
    .replace(/([._])/g, "$1\u200b")
    .replace(/(.{4,}?[._ ]\u200b?)/g, "$1<br>");
}

// Between worst (0) and best (1).
function shade(share) {
  const scale = SCALES[look()];
  const [from, to] = share < 0.5 ? [scale[0], scale[1]] : [scale[1], scale[2]];
  const step = share < 0.5 ? 2 * share : 2 * share - 1;
  return `rgb(${from.map((value, i) => Math.round(value + step * (to[i] - value))).join(",")})`;
}

// A line over `axes`, [{name, choices?, log?}], for each of `lines`, best first: [{key, text, slot?, values}]. Without a slot of its own
// its colour is its rank, of the best of these a mark's. What a line lacks is at the bottom. Boxes dragged along axes
// keep the lines that cross all of them.
function drawParallel(plot, axes, lines, { onClick, best = true } = {}) {
  const columns = axes.map((axis, i) =>
    axisOf(
      axis,
      lines.map((line) => line.values[i]),
    ),
  );
  const first = best ? lines.findIndex(({ slot }) => slot === undefined) : -1;
  const rank = (place) => 1 - place / Math.max(1, lines.length - 1);
  const absent = -0.14;
  const brushes = new Map(); // axis -> [low, high]
  const again = () => {
    const ordered = lines
      .map((line, place) => ({
        line,
        color: line.slot !== undefined ? colour(line.slot) : place === first ? css("--mark") : shade(rank(place)),
        width: line.slot !== undefined ? 2 : place === first ? 3 : lines.length > 60 ? 0.9 : 1.3,
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
    };
    const titles = columns.map((column, i) => ({
      x: i,
      y: 1.06,
      text: `<b>${broken(column.name)}</b>`,
      yanchor: "bottom",
      xanchor: "center",
    }));
    const ticks = columns.flatMap((column, i) =>
      column.ticks.map(([y, text]) => {
        const words = column.few && text.length > 9 ? text.split(/(?<=[_ ])/).map((part) => escaped(shortened(part, 9))) : [];
        const shown = words.length > 1 ? words.join("<br>") : escaped(shortened(text, 9));
        return { x: i, y, text: shown, align: "left", xanchor: "left", xshift: 4 };
      }),
    );
    const lacks = columns.some((column) => column.lacks);
    const bare = { visible: false, fixedrange: true };
    const width = LEAST_WIDTH * columns.length;
    plot.style.minWidth = `${width}px`;
    plot.parentElement.classList.toggle("swiped", width > plot.parentElement.clientWidth);
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
        dragmode: false,
        margin: { l: 40, r: 80, t: 10, b: 10 },
        annotations: [
          ...titles,
          ...ticks,
          ...(lacks ? [{ x: -0.05, y: absent, text: "not<br>there", xanchor: "right" }] : []),
        ],
        xaxis: { ...bare, range: [-0.3, columns.length - 0.6] },
        yaxis: { ...bare, range: [lacks ? -0.22 : -0.05, 1.22] },
      },
      { displayModeBar: false },
    );
    painted.set(plot, again);
    show();
  };
  const outline = () => {
    const axis = { type: "line", y0: 0, y1: 1, line: { color: css("--line"), width: 1 }, layer: "below" };
    const box = { type: "rect", line: { color: css("--mark"), width: 1 }, fillcolor: css("--mark"), opacity: 0.3 };
    const boxes = [...brushes].map(([i, [y0, y1]]) => ({ ...box, x0: i - 0.12, x1: i + 0.12, y0, y1 }));
    return { shapes: [...columns.map((_, i) => ({ ...axis, x0: i, x1: i })), ...boxes] };
  };
  const show = () => {
    const drawn = plot.data.slice(0, -1);
    const kept = drawn.map(({ y }) => [...brushes].every(([i, [low, high]]) => y[i] >= low && y[i] <= high));
    Plotly.update(plot, { opacity: kept.map((stays) => (stays ? 1 : 0.05)) }, outline(), [...drawn.keys()]);
    const opacity = kept.flatMap((stays) => columns.map(() => (stays ? 1 : 0.08)));
    Plotly.restyle(plot, { "marker.opacity": [opacity] }, [drawn.length]);
  };
  again();
  let dragged = false; // by the last press, which then is no click
  plot.removeAllListeners?.("plotly_click");
  plot.on("plotly_click", (event) => dragged || onClick?.(event.points[0].customdata));
  // Plotly's own selection keeps what crosses a box on any axis.
  plot.onmousedown = (event) => {
    if (event.detail < 2) return;
    brushes.clear();
    show();
  };
  plot.ontouchmove = (event) => {
    if (dragged) event.preventDefault(); // the page stays while a box grows
  };
  plot.onpointerdown = (event) => {
    if (event.button || !event.isPrimary) return;
    dragged = false;
    const { xaxis, yaxis } = plot._fullLayout;
    const ground = plot.getBoundingClientRect();
    const height = ({ clientY }) => yaxis.p2d(clientY - ground.top - yaxis._offset);
    const across = event.clientX - ground.left - xaxis._offset;
    const axis = Math.max(0, Math.min(columns.length - 1, Math.round(xaxis.p2d(across))));
    if (event.pointerType === "touch" && Math.abs(across - xaxis.d2p(axis)) > FINGER) return;
    const started = height(event);
    const move = (now) => {
      const [x, y] = [now.clientX - event.clientX, now.clientY - event.clientY].map(Math.abs);
      dragged ||= y > 4 && (now.pointerType !== "touch" || y > x); // else it is a click, or a swipe
      if (!dragged) return;
      brushes.set(axis, [started, height(now)].sort((a, b) => a - b));
      Plotly.relayout(plot, outline());
    };
    const end = ({ type }) => {
      window.removeEventListener("pointermove", move, true);
      window.removeEventListener("pointerup", end, true);
      window.removeEventListener("pointercancel", end, true);
      const [low, high] = brushes.get(axis) ?? [-Infinity, Infinity];
      if (!dragged && type === "pointerup" && (started < low || started > high)) brushes.delete(axis);
      show();
    };
    window.addEventListener("pointermove", move, true);
    window.addEventListener("pointerup", end, true);
    window.addEventListener("pointercancel", end, true);
  };
}

for (const hint of document.querySelectorAll(".brushes")) hint.textContent = BRUSHES;
