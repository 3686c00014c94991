"use strict";
// Pictures of the ticked runs, and of those that pass the filters.

// One line for each ticked run, or for each group of them.
function linesOfTicked() {
  const between = sweeps.filter((one) => new Set(ticked().map((row) => written(row[one.name]))).size > 1).slice(0, 2);
  const alone = (row) => ({
    name: [row.name, ...between.map((one) => written(row[one.name]))].join(" "),
    slot: slots.get(row.$key),
    runs: [row.$curves],
    key: row.$key,
    members: [row],
  });
  if (!grouping() || !get("mean")) return ticked().map(alone);
  return [...grouped(ticked(), groupOf).values()].map((members, slot) => ({
    name: groupName(members[0]),
    slot,
    key: members[0].$key,
    runs: members.map((row) => row.$curves),
    members,
  }));
}

const USUAL = ["loss", "accuracy", "f1", "learning_rate"];
const measured = new Set(
  data.curves.names
    .filter((name) => !["epoch", "step", "time"].includes(name))
    .map((name) => name.replace(/^(train|val)_/, "")),
);
const METRICS = [
  ...USUAL.filter((name) => measured.has(name)),
  ...[...measured].filter((name) => !USUAL.includes(name)),
];
const chosenMetrics = () =>
  words(
    "metrics",
    METRICS.filter((name) => !/^grad_norm_/.test(name)),
  );

function drawLegend(lines) {
  $("ticked").replaceChildren(
    ...lines.map((line) => {
      const button = element(
        "button",
        { type: "button", title: "untick" },
        element("span", { className: "swatch" }),
        `${line.name} ✕`,
      );
      button.firstChild.style.background = colour(line.slot);
      button.addEventListener("click", () =>
        tick(
          line.members.map((row) => row.$key),
          false,
        ),
      );
      return element("li", {}, button);
    }),
  );
}

function note(place, text) {
  place.replaceChildren(element("p", { className: "note", textContent: text }));
}

const firstOf = (some, all) =>
  element("p", { className: "note", textContent: `The first ${some.length} of ${all.length} that are ticked.` });
const NOTHING = "Tick runs in the table to see them here.";

// A cell of a grid for each name; those that stay are used again, so that pictures do not flicker.
function cellsOf(grid, names) {
  const old = new Map([...grid.children].map((child) => [child.dataset.name, child]));
  const made = names.map((name) => {
    if (old.has(name)) return old.get(name);
    const cell = element("figure", { ariaLabel: name }, element("div", { className: "plot" }));
    cell.dataset.name = name;
    return cell;
  });
  for (const [name, child] of old)
    if (!names.includes(name) && child.querySelector(".plot")) Plotly.purge(child.querySelector(".plot"));
  grid.replaceChildren(...made);
  return made.map((cell) => cell.querySelector(".plot"));
}

function drawCurvesOfTicked(lines) {
  const grid = $("curve-plots");
  const drawn = lines.slice(0, MOST.curves);
  const metrics = METRICS.filter(
    (name) =>
      chosenMetrics().includes(name) &&
      drawn.some((line) => line.runs.some((run) => PARTS.some(([part]) => run[part + name]))),
  );
  $("smooth-note").hidden = !Number(get("smooth"));
  $("mean-note").hidden = !get("mean");
  if (!metrics.length)
    return note(grid, slots.size ? "The ticked runs have no curves of the chosen metrics." : NOTHING);
  const settings = {
    x: get("x", "epoch"),
    smooth: Number(get("smooth", "0")),
    logX: get("log").includes("x"),
    logY: get("log").includes("y"),
  };
  cellsOf(grid, metrics).forEach((plot, i) => drawCurves(plot, drawn, metrics[i], settings));
  if (lines.length > drawn.length) grid.append(firstOf(drawn, lines));
}

function drawDifferences(runs) {
  const place = $("difference-table");
  if (!runs.length) return note(place, NOTHING);
  const shown = runs.slice(0, MOST.differences);
  const differs = (one) => new Set(shown.map((row) => written(row[one.name]))).size > 1;
  const configuration = columns.filter(
    (one) => one.kind === "configuration" && (shown.length > 1 ? differs(one) : shown[0].$changed.has(one.name)),
  );
  const scores = columns.filter(
    (one) => one.kind === "score" && /accuracy|f1|loss/.test(one.name) && shown.some((row) => !empty(row[one.name])),
  );
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }),
    ...shown.map((row) => {
      const swatch = element("span", { className: "swatch" });
      swatch.style.background = colour(slots.get(row.$key));
      return element("th", { scope: "col" }, swatch, " ", link(row, "", row.name));
    }),
  );
  const line = (one, mark) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, ...one.title.split(/(?<=[._])/).flatMap((part) => [part, element("wbr")])),
      ...shown.map((row) => element("td", { textContent: written(row[one.name]), className: mark(row) })),
    );
  const best = (one) => {
    const values = shown.map((row) => row[one.name]).filter(numeric);
    return one.name.includes("loss") ? Math.min(...values) : Math.max(...values);
  };
  const body = element(
    "tbody",
    {},
    ...configuration.map((one) => line(one, (row) => (row.$changed.has(one.name) ? "changed" : ""))),
    ...scores.map((one) => line(one, (row) => (shown.length > 1 && row[one.name] === best(one) ? "best" : ""))),
  );
  place.replaceChildren(element("table", { className: "differences" }, element("thead", {}, head), body));
  if (!configuration.length)
    place.append(
      element("p", {
        className: "note",
        textContent:
          shown.length > 1
            ? "The configurations are the same."
            : "All of its configuration is the default, or what all runs have alike.",
      }),
    );
  if (runs.length > shown.length) place.append(firstOf(shown, runs));
}

function drawMatrices(runs) {
  const grid = $("matrices");
  const found = runs.filter((row) => row.$matrix);
  if (!found.length) return note(grid, slots.size ? "None of the ticked runs has test predictions." : NOTHING);
  const shown = found.slice(0, MOST.matrices);
  const prepared = shown.map((row) => {
    const classes = data.matrices.classes[row.$matrix.classes];
    const counts = classes.map((_, i) => row.$matrix.cells.slice(i * classes.length, (i + 1) * classes.length));
    const share = counts.map((line) => line.map((value) => value / (line.reduce((sum, one) => sum + one, 0) || 1)));
    return { row, classes: classes.map(String), counts, share };
  });
  const most = Math.max(
    0.01,
    ...prepared.flatMap((one) => one.share.flatMap((line, i) => line.filter((_, j) => i !== j))),
  );
  cellsOf(
    grid,
    shown.map((row) => row.$key),
  ).forEach((plot, k) => {
    const { row, classes, counts, share } = prepared[k];
    const title =
      plot.parentElement.querySelector("h3") ?? plot.before(element("h3")) ?? plot.parentElement.querySelector("h3");
    title.textContent = `${row.name}${empty(row.test_accuracy) ? "" : `: ${(100 * row.test_accuracy).toFixed(2)} %`}`;
    const ticks = classes.map((name) => escaped(shortened(name, 10)));
    const shade = DARK.matches
      ? [
          [0, "#1f252c"],
          [1, "#ff8a3d"],
        ]
      : [
          [0, "#f7f9fb"],
          [1, "#d55e00"],
        ];
    const again = () => {
      draw(
        plot,
        [
          {
            type: "heatmap",
            z: share.map((line, i) => line.map((value, j) => (i === j ? null : value))),
            zmin: 0,
            zmax: most,
            colorscale: shade,
            showscale: false,
            xgap: 1,
            ygap: 1,
            hoverongaps: true,
            customdata: counts.map((line, i) =>
              line.map(
                (value, j) =>
                  `true ${escaped(classes[i])}, predicted ${escaped(classes[j])}: ${value} (${(100 * share[i][j]).toFixed(1)} %)`,
              ),
            ),
            hovertemplate: "%{customdata}<extra></extra>",
          },
        ],
        {
          height: 330,
          margin: { l: 50, r: 6, t: 6, b: 40 },
          xaxis: { tickvals: classes.map((_, i) => i), ticktext: ticks, showgrid: false },
          yaxis: { tickvals: classes.map((_, i) => i), ticktext: ticks, autorange: "reversed", showgrid: false },
          annotations:
            classes.length > 15
              ? []
              : counts.flatMap((line, i) =>
                  line
                    .map((value, j) => ({
                      x: j,
                      y: i,
                      text: value
                        ? get("share")
                          ? (share[i][j] * 100).toFixed(share[i][j] < 0.1 ? 1 : 0)
                          : String(value)
                        : "",
                      font: { size: 10 },
                      bgcolor: "rgba(0,0,0,0)",
                    }))
                    .filter((one) => one.text),
                ),
        },
        { displayModeBar: false },
      );
    };
    again();
    painted.set(plot, () => drawMatrices(ticked()));
  });
  if (found.length > shown.length) grid.append(firstOf(shown, found));
}

function drawScatter() {
  const [x, y, by] = ["scatter-x", "scatter-y", "scatter-colour"].map((id) => $(id).value);
  const shown = shownRows().filter((row) => !empty(row[x]) && !empty(row[y]));
  const values = by === "recipe" ? shown.map(difference) : shown.map((row) => row[by]);
  const continuous = by && by !== "recipe" && isNumbers(column.get(by)) && new Set(values).size > 8;
  const kinds = by && !continuous ? [...new Set(values.map(written))].slice(0, 12) : [null];
  const text = (row) =>
    [
      row.name,
      `${x} ${written(row[x])}`,
      `${y} ${written(row[y])}`,
      by && by !== "recipe" ? `${by} ${written(row[by])}` : row.changed,
    ]
      .filter(Boolean)
      .map((one) => shortened(String(one), 90))
      .join("\n");
  const groups = kinds.map((kind, slot) => {
    const members = shown.filter((_, i) => kind === null || written(values[i]) === kind);
    const shades = continuous
      ? {
          color: members.map((row) => row[by]),
          colorscale: [0, 0.5, 1].map((at) => [at, shade(at)]),
          colorbar: { title: { text: escaped(by) }, thickness: 12 },
        }
      : { color: colour(slot) };
    const marker = {
      size: members.map((row) => (slots.has(row.$key) ? 12 : 7)),
      symbol: members.map((row) => (slots.has(row.$key) ? "diamond" : "circle")),
      opacity: 0.85,
      line: { width: members.map((row) => (slots.has(row.$key) ? 1.5 : 0)), color: "ink" },
      ...shades,
    };
    return { name: kind || "(none)", members, marker };
  });
  const axis = (name, letter) => ({
    ...titled(name),
    type: isNumbers(column.get(name)) ? (get("scatter-log").includes(letter) ? "log" : "linear") : "category",
  });
  drawPoints(
    $("scatter-plot"),
    groups,
    { x: (row) => row[x], y: (row) => row[y], text, key: (row) => row.$key },
    { height: 440, showlegend: kinds[0] !== null, xaxis: axis(x, "x"), yaxis: axis(y, "y") },
  );
  painted.set($("scatter-plot"), drawScatter);
}

function drawParallelOfTicked() {
  const place = $("parallel-plot");
  const chosen = slots.size > 1 ? ticked() : shownRows();
  const goal = [
    "val_accuracy",
    "test_accuracy",
    ...columns.filter((one) => one.kind === "score").map((one) => one.name),
  ].find((name) => column.has(name));
  const names = shownColumns().filter(
    (name) =>
      !["name", "changed", "files", "started", "state"].includes(name) &&
      new Set(chosen.map((row) => written(row[name]))).size > 1,
  );
  const varied = names.some((name) => column.get(name)?.kind === "configuration")
    ? []
    : sweeps
        .filter((one) => new Set(chosen.map((row) => written(row[one.name]))).size > 1)
        .slice(0, 8)
        .map((one) => one.name);
  const axes = [...varied, ...names];
  const ranked = [...chosen].sort(
    (a, b) => (numeric(b[goal]) ? b[goal] : -Infinity) - (numeric(a[goal]) ? a[goal] : -Infinity) || 0,
  );
  const drawn = ranked.slice(0, MOST.ticks);
  $("parallel-note").textContent =
    axes.length < 2 || chosen.length < 2
      ? "There is nothing to compare yet: tick two runs that differ, or choose more columns."
      : `${slots.size > 1 ? `The ${drawn.length} ticked runs, in their colours.` : `${drawn.length === chosen.length ? `All ${drawn.length} runs shown` : `The best ${drawn.length} of the ${chosen.length} runs shown`}, since fewer than two are ticked; stronger lines are better in ${goal}.`}`;
  place.hidden = axes.length < 2 || chosen.length < 2;
  if (place.hidden) return;
  const lines = drawn.map((row) => ({
    key: row.$key,
    slot: slots.size > 1 ? slots.get(row.$key) : undefined,
    values: axes.map((name) => row[name]),
    text: [row.name, ...axes.map((name) => `${name} = ${written(row[name])}`)].join("\n"),
  }));
  drawParallel(
    place,
    axes.map((name) => ({ name: column.get(name).title })),
    lines,
    { best: false, onClick: (key) => list.find(key) },
  );
}

// Drawing waits for the next frame, so that many changes at once cost one drawing.
let waiting = null;
function later(work) {
  waiting ??= requestAnimationFrame(() => {
    waiting = null;
    for (const one of due.splice(0)) one();
  });
  if (!due.includes(work)) due.push(work);
}
const due = [];

function drawTicked() {
  later(ofTicked);
  later(drawScatter);
  later(drawParallelOfTicked);
  say();
}

function ofTicked() {
  const lines = linesOfTicked();
  drawLegend(lines);
  drawCurvesOfTicked(lines);
  drawDifferences(ticked());
  drawMatrices(ticked());
}
