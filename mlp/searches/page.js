"use strict";
// The page of a search. A click on a trial in a picture leads to its row.

const data = pageData();
const { objectives, trials, axes } = data;
const byKey = new Map(trials.map((trial) => [trial.key, trial]));
const rows = decoded(data.columns, data.keys.length).map((row, i) => ({
  ...row,
  $key: data.keys[i],
  $mark: data.kinds[i],
  $links: data.links[i],
}));
const list = rows.length
  ? makeTable(document.getElementById("trials-table"), {
      columns: data.columns,
      rows,
      shown: data.shown,
      spread: data.spread,
      stateOf: (row) => row.$mark,
      cells: {
        run: (_, row) =>
          element(
            "span",
            { className: "links" },
            ...row.$links.map(([href, textContent]) => element("a", { href, textContent })),
          ),
      },
    })
  : null;

const DONE = { name: "completed", marker: { symbol: "circle", color: "blue" } };
const PRUNED = { name: "pruned, where it was stopped", marker: { symbol: "x", color: "orange" } };
const BROKEN = { name: "completed, but breaks a constraint", marker: { symbol: "circle-open", color: "grey" } };
const WITHOUT = {
  name: "without a value: failed, lost",
  marker: { symbol: "triangle-up-open", color: "vermilion", line: { width: 2 } },
};
const BEST = { name: "the best trial", marker: { symbol: "diamond", color: "vermilion", size: 10, opacity: 1 } };
const CURVES = {
  complete: { color: "sky", width: 1.2 },
  pruned: { color: "orange", width: 1.2, dash: "dash" },
  fail: { color: "vermilion", width: 1.2, dash: "dot" },
  best: { color: "ink", width: 2.5 },
};

const completed = (trial) => trial.kind === "complete" || trial.kind === "best";
const keyOf = (one) => one.key;
const textOf = (one) => one.text;

function padded(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = 0.05 * (high - low || Math.abs(high) || 1);
  return [low - margin, high + margin];
}

function median(values) {
  const ordered = [...values].sort((a, b) => a - b);
  const half = ordered.length >> 1;
  return ordered.length % 2 ? ordered[half] : (ordered[half - 1] + ordered[half]) / 2;
}

// How plotly.js writes the values of an axis.
function ticksOf({ choices, log, values }) {
  if (choices)
    return {
      tickvals: choices.map((_, i) => i),
      ticktext: choices.map((choice) => escaped(shortened(choice, 18))),
      range: [-0.6, choices.length - 0.4],
      tickangle: choices.length * Math.max(...choices.map((choice) => choice.length)) <= 38 ? 0 : -35,
      ticklabeloverflow: "allow",
    };
  if (!log) return {};
  const given = Object.values(values);
  const decades = Math.log10(Math.max(...given) / Math.min(...given));
  const far = decades >= 2 ? { dtick: Math.ceil(decades / 4) } : {};
  return { type: "log", tickangle: 0, ...far };
}

const pictures = {
  parallel(plot) {
    const scores = objectives.map(({ name }) => ({ name, log: false }));
    const lines = data.lines.map((key) => {
      const { text, values } = byKey.get(key);
      return { key, text, values: [...axes.map((axis) => axis.values[key] ?? null), ...values] };
    });
    const used = axes.map((axis, i) => i).filter((i) => lines.some((line) => line.values[i] !== null));
    const kept = (all) => [...used.map((i) => all[i]), ...all.slice(axes.length)];
    drawParallel(
      plot,
      kept([...axes, ...scores]),
      lines.map((line) => ({ ...line, values: kept(line.values) })),
    );
  },

  // By how much the forecast of the objective grows worse; pale where few trials have the parameter.
  importance(plot) {
    const bars = [...data.importance].reverse(); // plotly draws upwards
    const bar = {
      type: "bar",
      orientation: "h",
      x: bars.map((one) => one.increase),
      y: bars.map((one) => escaped(one.name)),
      hoverinfo: "skip",
      error_x: { array: bars.map((one) => one.error ?? 0), color: "ink", thickness: 1 },
      marker: { color: "blue", opacity: bars.map((one) => (one.guess ? 0.3 : 1)) },
    };
    draw(plot, [bar], {
      height: 80 + 24 * bars.length,
      margin: { l: 64, r: 40, t: 10, b: 56 },
      xaxis: titled("added error of the forecast"),
      yaxis: { type: "category", dtick: 1, showgrid: false },
    });
  },

  // Two objectives against each other.
  pareto(plot, first, second) {
    const done = data.lines.map((key) => byKey.get(key));
    const front = done.filter((one) => one.front).sort((a, b) => a.values[first] - b.values[first]);
    const dotted = { mode: "lines+markers", line: { color: "vermilion", width: 1, dash: "dot" } };
    const title = ({ name, less }) => titled(`${name} (${less ? "less" : "more"} is better)`);
    drawPoints(
      plot,
      [
        { name: "beaten by another trial", members: done.filter((one) => !one.front), marker: { color: "sky" } },
        { ...BEST, name: "Pareto front", members: front, trace: objectives.length === 2 ? dotted : {} },
      ],
      { x: (one) => one.values[first], y: (one) => one.values[second], text: textOf, key: keyOf },
      { height: 440, xaxis: title(objectives[first]), yaxis: title(objectives[second]) },
    );
  },

  // The objective of every finished trial, and the best so far. Trials without a value are at the bottom.
  history(plot, index) {
    const value = (one) => one.values[index];
    const valued = trials.filter((one) => value(one) !== null);
    const [low, high] = valued.length ? padded(valued.map(value)) : [0, 1];
    const floor = low - 0.06 * (high - low);
    const done = valued.filter((one) => completed(one) && one.feasible);
    const better = objectives[index].less ? Math.min : Math.max;
    let reached = null;
    const best = done.map((one) => (reached = reached === null ? value(one) : better(reached, value(one))));
    const lowest = valued.length < trials.length ? floor - 0.04 * (high - low) : low;
    drawPoints(
      plot,
      [
        { ...DONE, members: done },
        { ...BROKEN, members: valued.filter((one) => completed(one) && !one.feasible) },
        { ...PRUNED, members: valued.filter((one) => !completed(one)) },
        { ...WITHOUT, members: trials.filter((one) => value(one) === null) },
      ],
      { x: keyOf, y: (one) => value(one) ?? floor, text: textOf, key: keyOf },
      {
        xaxis: { ...titled("trial"), ...wholeTicks(Math.max(...trials.map(keyOf))) },
        yaxis: { ...titled(objectives[index].name), range: [lowest, high] },
        lines: [lineOf(done.map(keyOf), best, { name: "best so far", color: "ink", width: 2, shape: "hv" })],
      },
    );
  },

  // Train accuracy to the right, test accuracy upwards: memorised training data lie below the diagonal.
  overlay(plot) {
    const scores = data.runs.flatMap((run) => [run.train, run.test]);
    const range = [Math.max(0, Math.min(...scores) - 0.02), Math.min(1, Math.max(...scores)) + 0.01];
    const group = (name, overfitted, symbol, color) => {
      const members = data.runs.filter((run) => run.overfitted === overfitted);
      return { name, members, marker: { color, symbol: members.map((run) => symbol + (run.complete ? "" : "-open")) } };
    };
    plot.style.maxWidth = "760px";
    drawPoints(
      plot,
      [group("not over-fitted", false, "circle", "blue"), group("over-fitted", true, "diamond", "vermilion")],
      { x: (run) => run.train, y: (run) => run.test, text: textOf, key: keyOf },
      {
        height: 560,
        margin: { l: 64, r: 20, t: 12, b: 56 },
        legend: { x: 0.01, y: 0.99, bgcolor: "rgba(0,0,0,0)" }, // nobody is above the diagonal
        xaxis: { ...titled("train accuracy"), range, constrain: "domain" },
        yaxis: { ...titled("test accuracy"), range },
        lines: [
          lineOf([0, 1], [0, 1], { name: "train = test", color: "grey" }),
          lineOf([data.allowed, 1], [0, 1 - data.allowed], {
            name: `train = test + ${100 * data.allowed} point`,
            color: "vermilion",
            dash: "dash",
          }),
        ],
      },
    );
  },

  // An objective against a parameter, and of choices the median of their completed trials.
  slice(plot, index, at) {
    const axis = axes[at];
    const { name, choices, log, values } = axis;
    const value = (one) => one.values[index];
    const members = trials.filter((one) => value(one) !== null && one.key in values);
    const place = (one) => (choices ? choices.indexOf(values[one.key]) : values[one.key]);
    // Points of one choice are spread sideways, evenly: the golden ratio never comes near where it was.
    const across = (one) => place(one) + (choices ? (((one.key * 0.618034) % 1) - 0.5) * 0.5 : 0);
    const medians = (choices ?? []).flatMap((_, i) => {
      const reached = members.filter((one) => completed(one) && place(one) === i).map(value);
      return reached.length ? [[i - 0.35, median(reached)], [i + 0.35, median(reached)], [null, null]] : [];
    });
    const text = (one) => {
      const best = one.kind === "best" ? ", the best" : "";
      return `trial ${one.key}${best}: ${written(value(one))}\n${name} = ${written(values[one.key])}`;
    };
    const small = (group) => ({ ...group, marker: { size: 6, opacity: 0.65, ...group.marker } });
    drawPoints(
      plot,
      [
        { ...small(DONE), members: members.filter((one) => one.kind === "complete") },
        { ...small(PRUNED), members: members.filter((one) => !completed(one)) },
        { ...small(BEST), members: members.filter((one) => one.kind === "best") },
      ],
      { x: across, y: value, text, key: keyOf },
      {
        height: 260,
        margin: { l: 52, r: 12, t: 10, b: 48 },
        showlegend: false,
        xaxis: { ...titled(log ? `${name} (log)` : name), ...ticksOf(axis) },
        yaxis: {
          ...titled(objectives[index].name),
          range: padded(trials.map(value).filter(numeric)),
        },
        lines: [lineOf(...[0, 1].map((i) => medians.map((pair) => pair[i])), { color: "ink", width: 2 })],
      },
    );
  },

  curves(plot) {
    const [{ name }] = objectives;
    const lines = Object.keys(CURVES).flatMap((kind) =>
      trials
        .filter((one) => one.kind === kind && one.epochs.length)
        .map(({ key, epochs, reported }) => ({
          name: `trial ${key}${kind === "best" ? ", the best" : ""}`,
          key,
          look: CURVES[kind],
          runs: [{ epoch: epochs, [name]: reported }],
        })),
    );
    drawCurves(plot, lines, name, { height: 380, points: true });
  },
};

for (const plot of document.querySelectorAll("[data-picture]")) {
  pictures[plot.dataset.picture](plot, ...plot.dataset.of.split(" ").map(Number));
  plot.on("plotly_click", (event) => list?.find(event.points[0].customdata));
}
