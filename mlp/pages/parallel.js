"use strict";
// Parallel coordinates: an axis for each parameter, a line for each trial or run.

const MOST_NAMED = 16; // choices on an axis
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
    at: (value) =>
      value === null || value === undefined ? null : place(isNumber ? value : kinds.indexOf(String(value))),
    ticks: [...new Set(ticks)].map((value) => [
      place(value),
      least ? `${Number((100 * value).toPrecision(4))} %` : isNumber ? `${Number(value.toPrecision(3))}` : kinds[value],
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
        width: line.slot !== undefined ? 2 : best && !place ? 3 : lines.length > 60 ? 0.9 : 1.3,
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
        .replace(/(.{4,}?[._ ]\u200b?)/g, "$1<br>")}</b>`,
      yanchor: "bottom",
      xanchor: "center",
    }));
    const ticks = columns.flatMap((column, i) =>
      column.ticks.map(([y, text]) => ({ x: i, y, text: escaped(shortened(text, 11)), xanchor: "left", xshift: 4 })),
    );
    const lacks = columns.some((column) => column.lacks);
    const bare = { visible: false, fixedrange: true };
    plot.style.minWidth = `${76 * columns.length}px`;
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
