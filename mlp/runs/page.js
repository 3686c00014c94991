"use strict";
// The page of all runs. What the reader chooses is in the URL: `choices` of table.js.

const data = pageData();
const $ = (id) => document.getElementById(id);
const MOST = { ticks: 200, curves: 100, matrices: 24, differences: 30 };
const OWN = /^(seed|plots|resume|save\.|tracker|hydra|search)/; // configuration that makes no other model

const columns = [...data.columns, { name: "files", title: "files", kind: "run", texts: [""], at: data.keys.map(() => 0) }];
const column = new Map(columns.map((one) => [one.name, one]));
const rows = decoded(columns, data.keys.length);
const byKey = new Map();
rows.forEach((row, i) => {
  const series = data.curves.of[i];
  Object.assign(row, {
    $key: data.keys[i], $path: data.paths[i], $matrix: data.matrices.of[i],
    $changed: new Set(data.changed.of[i].map((at) => data.changed.names[at])),
    $files: data.files.of[i].map((at) => data.files.names[at]),
    $curves: Object.fromEntries(data.curves.names.map((name, at) => [name, series[at]]).filter(([, values]) => values)),
  });
  byKey.set(row.$key, row);
});
const sweeps = columns.filter((one) => one.kind === "configuration" && !OWN.test(one.name));
// What sets a run apart, but for its seed: the same for runs that are to be repeated.
const recipe = (row) => row.$recipe ??= sweeps.filter((one) => !empty(row[one.name])).map((one) => `${one.name}=${written(row[one.name])}`).join(" ");
const difference = (row) => sweeps.filter((one) => row.$changed.has(one.name)).map((one) => `${one.name}=${written(row[one.name])}`).join(" ") || "the default";
const GROUPS = { recipe: "configuration without the seed" };

const get = (name, otherwise = "") => choices.read().get(name) ?? otherwise;
const words = (name, otherwise) => (choices.read().has(name) ? get(name).split(",").filter((word) => word && word !== "none") : otherwise);
const shownColumns = () => words("columns", data.shown);

// Ticks: each run keeps the colour that it got.
const slots = new Map();
const ticked = () => [...slots.keys()].map((key) => byKey.get(key));

function setTicks(keys) {
  const wanted = new Set(keys.filter((key) => byKey.has(key)));
  for (const key of [...slots.keys()]) if (!wanted.has(key)) slots.delete(key);
  const used = new Set(slots.values());
  let free = 0;
  for (const key of wanted) {
    if (slots.has(key)) continue;
    while (used.has(free)) free += 1;
    used.add(free);
    slots.set(key, free);
  }
}

function tick(keys, on) {
  const now = new Set(slots.keys());
  for (const key of keys) on ? now.add(key) : now.delete(key);
  setTicks([...now].slice(0, MOST.ticks));
  choices.write({ ticked: [...slots.keys()].join(",") || "none" });
  for (const box of document.querySelectorAll("input[data-key]")) box.checked = slots.has(box.dataset.key);
  for (const box of document.querySelectorAll(".tabulator-group input")) box.checked = box.keys.every((key) => slots.has(key));
  drawTicked();
}

const link = (row, name, text) => element("a", { href: name ? `${row.$path}/${name}` : `${row.$path}/`, textContent: text });
const label = (name) => name.replace(/^train\.|^plots\/|_normalised/g, "").replace(/\.(?!log)\w+$/, "");

function tickBox(key, name) {
  const box = element("input", { type: "checkbox", checked: slots.has(key), ariaLabel: `tick ${name}` });
  box.dataset.key = key;
  box.addEventListener("click", (event) => event.stopPropagation());
  box.addEventListener("change", () => tick([key], box.checked));
  return box;
}

const grouping = () => get("group");
const groupOf = (row) => (grouping() === "recipe" ? recipe(row) : written(row[grouping()]) || "(none)");
const groupName = (row) => (grouping() === "recipe" ? difference(row) : groupOf(row));

function groupHeader(_, count, members) {
  const value = groupName(own(members[0]));
  const keys = members.map((member) => member.$key);
  const box = element("input", { type: "checkbox", keys, checked: keys.every((key) => slots.has(key)), ariaLabel: `tick all of ${value}` });
  box.addEventListener("click", (event) => event.stopPropagation());
  box.addEventListener("change", () => tick(keys, box.checked));
  return element("span", {}, box, ` ${value} (${count})`);
}

// Tabulator copies rows at every turn, so that its own have the cells and no curves.
const cells = rows.map((row) => Object.fromEntries([["$key", row.$key], ...columns.map((one) => [one.name, row[one.name]])]));
const own = (cells) => byKey.get(cells.$key);
const list = makeTable($("runs-table"), {
  columns, rows: cells, shown: shownColumns(),
  cells: {
    name: (value, row) => link(own(row), "", value),
    files: (_, row) => element("span", { className: "links" }, ...own(row).$files.map((name) => link(own(row), name, label(name)))),
  },
  leading: [{ field: "$key", title: "", headerSort: false, width: 36, formatter: (cell) => tickBox(cell.getValue(), cell.getData().name) }],
  stateOf: (row) => row.state,
  options: { groupHeader },
});
const shownRows = () => list.table.getData("active").map(own);

// One line for each ticked run, or for each group of them.
function linesOfTicked() {
  const alone = (row) => ({ name: row.name, slot: slots.get(row.$key), runs: [row.$curves], key: row.$key, members: [row] });
  if (!grouping() || !get("mean")) return ticked().map(alone);
  const groups = Map.groupBy ? Map.groupBy(ticked(), groupOf) : ticked().reduce((all, row) => all.set(groupOf(row), [...(all.get(groupOf(row)) ?? []), row]), new Map());
  return [...groups.values()].map((members, slot) => ({ name: groupName(members[0]), slot, key: members[0].$key, runs: members.map((row) => row.$curves), members }));
}

const USUAL = ["loss", "accuracy", "f1", "learning_rate"];
const measured = new Set(data.curves.names.filter((name) => !["epoch", "step", "time"].includes(name)).map((name) => name.replace(/^(train|val)_/, "")));
const METRICS = [...USUAL.filter((name) => measured.has(name)), ...[...measured].filter((name) => !USUAL.includes(name))];
const chosenMetrics = () => words("metrics", METRICS.filter((name) => !/^grad_norm_/.test(name)));

function drawLegend(lines) {
  $("ticked").replaceChildren(...lines.map((line) => {
    const button = element("button", { type: "button", title: "untick" }, element("span", { className: "swatch" }), `${line.name} ✕`);
    button.firstChild.style.background = colour(line.slot);
    button.addEventListener("click", () => tick(line.members.map((row) => row.$key), false));
    return element("li", {}, button);
  }));
}

function note(place, text) {
  place.replaceChildren(element("p", { className: "note", textContent: text }));
}

const firstOf = (some, all) => element("p", { className: "note", textContent: `The first ${some.length} of ${all.length} that are ticked.` });
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
  for (const [name, child] of old) if (!names.includes(name) && child.querySelector(".plot")) Plotly.purge(child.querySelector(".plot"));
  grid.replaceChildren(...made);
  return made.map((cell) => cell.querySelector(".plot"));
}

function drawCurvesOfTicked(lines) {
  const grid = $("curve-plots");
  const drawn = lines.slice(0, MOST.curves);
  const metrics = METRICS.filter((name) => chosenMetrics().includes(name) && drawn.some((line) => line.runs.some((run) => PARTS.some(([part]) => run[part + name]))));
  $("smooth-note").hidden = !Number(get("smooth"));
  $("mean-note").hidden = !get("mean");
  if (!metrics.length) return note(grid, slots.size ? "The ticked runs have no curves of the chosen metrics." : NOTHING);
  const settings = { x: get("x", "epoch"), smooth: Number(get("smooth", "0")), logX: get("log").includes("x"), logY: get("log").includes("y") };
  cellsOf(grid, metrics).forEach((plot, i) => drawCurves(plot, drawn, metrics[i], settings));
  if (lines.length > drawn.length) grid.append(firstOf(drawn, lines));
}

function drawDifferences(runs) {
  const place = $("difference-table");
  if (!runs.length) return note(place, NOTHING);
  const shown = runs.slice(0, MOST.differences);
  const differs = (one) => new Set(shown.map((row) => written(row[one.name]))).size > 1;
  const configuration = columns.filter((one) => one.kind === "configuration" && (shown.length > 1 ? differs(one) : shown[0].$changed.has(one.name)));
  const scores = columns.filter((one) => one.kind === "score" && /accuracy|f1|loss/.test(one.name) && shown.some((row) => !empty(row[one.name])));
  const head = element("tr", {}, element("th", { scope: "col" }), ...shown.map((row) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = colour(slots.get(row.$key));
    return element("th", { scope: "col" }, swatch, " ", link(row, "", row.name));
  }));
  const line = (one, mark) => element("tr", {}, element("th", { scope: "row", textContent: one.title }), ...shown.map((row) => element("td", { textContent: written(row[one.name]), className: mark(row) })));
  const best = (one) => {
    const values = shown.map((row) => row[one.name]).filter(numeric);
    return one.name.includes("loss") ? Math.min(...values) : Math.max(...values);
  };
  const body = element("tbody", {},
    ...configuration.map((one) => line(one, (row) => (row.$changed.has(one.name) ? "changed" : ""))),
    ...scores.map((one) => line(one, (row) => (shown.length > 1 && row[one.name] === best(one) ? "best" : ""))));
  place.replaceChildren(element("table", { className: "differences" }, element("thead", {}, head), body));
  if (!configuration.length) place.append(element("p", { className: "note", textContent: shown.length > 1 ? "The configurations are the same." : "All of its configuration is the default, or what all runs have alike." }));
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
  const most = Math.max(0.01, ...prepared.flatMap((one) => one.share.flatMap((line, i) => line.filter((_, j) => i !== j))));
  cellsOf(grid, shown.map((row) => row.$key)).forEach((plot, k) => {
    const { row, classes, counts, share } = prepared[k];
    const title = plot.parentElement.querySelector("h3") ?? plot.before(element("h3")) ?? plot.parentElement.querySelector("h3");
    title.textContent = `${row.name}${empty(row.test_accuracy) ? "" : `: ${(100 * row.test_accuracy).toFixed(2)} %`}`;
    const ticks = classes.map((name) => escaped(shortened(name, 10)));
    const shade = DARK.matches ? [[0, "#1f252c"], [1, "#ff8a3d"]] : [[0, "#f7f9fb"], [1, "#d55e00"]];
    const again = () => {
      draw(plot, [{
        type: "heatmap", z: share.map((line, i) => line.map((value, j) => (i === j ? null : value))), zmin: 0, zmax: most, colorscale: shade, showscale: false, xgap: 1, ygap: 1,
        hoverongaps: true, customdata: counts.map((line, i) => line.map((value, j) => `true ${escaped(classes[i])}, predicted ${escaped(classes[j])}: ${value} (${(100 * share[i][j]).toFixed(1)} %)`)),
        hovertemplate: "%{customdata}<extra></extra>",
      }], {
        height: 330, margin: { l: 50, r: 6, t: 6, b: 40 },
        xaxis: { tickvals: classes.map((_, i) => i), ticktext: ticks, showgrid: false }, yaxis: { tickvals: classes.map((_, i) => i), ticktext: ticks, autorange: "reversed", showgrid: false },
        annotations: classes.length > 15 ? [] : counts.flatMap((line, i) => line.map((value, j) => ({
          x: j, y: i, text: value ? (get("share") ? (share[i][j] * 100).toFixed(share[i][j] < 0.1 ? 1 : 0) : String(value)) : "", font: { size: 10 }, bgcolor: "rgba(0,0,0,0)",
        })).filter((one) => one.text)),
      }, { displayModeBar: false });
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
  const text = (row) => [row.name, `${x} ${written(row[x])}`, `${y} ${written(row[y])}`, by && by !== "recipe" ? `${by} ${written(row[by])}` : row.changed].filter(Boolean).map((one) => escaped(shortened(String(one), 90))).join("<br>");
  const traces = kinds.map((kind, slot) => {
    const members = shown.filter((_, i) => kind === null || written(values[i]) === kind);
    const shades = continuous ? { color: members.map((row) => row[by]), colorscale: [0, 0.5, 1].map((at) => [at, shade(at)]), colorbar: { title: { text: escaped(by) }, thickness: 12 } } : { color: colour(slot) };
    return {
      type: "scatter", mode: "markers", name: escaped(shortened(kind || "(none)", 40)), x: members.map((row) => row[x]), y: members.map((row) => row[y]), text: members.map(text), hoverinfo: "text", customdata: members.map((row) => row.$key),
      marker: { size: members.map((row) => (slots.has(row.$key) ? 12 : 7)), symbol: members.map((row) => (slots.has(row.$key) ? "diamond" : "circle")), opacity: 0.85, line: { width: members.map((row) => (slots.has(row.$key) ? 1.5 : 0)), color: "ink" }, ...shades },
    };
  });
  const axis = (name, letter) => ({ title: { text: escaped(name), standoff: 6 }, type: isNumbers(column.get(name)) ? (get("scatter-log").includes(letter) ? "log" : "linear") : "category" });
  const legend = kinds[0] === null ? {} : { showlegend: true, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" } };
  draw($("scatter-plot"), traces, { height: 440, xaxis: axis(x, "x"), yaxis: axis(y, "y"), ...legend });
  painted.set($("scatter-plot"), drawScatter);
}

function drawParallelOfTicked() {
  const place = $("parallel-plot");
  const chosen = slots.size > 1 ? ticked() : shownRows();
  const goal = ["val_accuracy", "test_accuracy", ...columns.filter((one) => one.kind === "score").map((one) => one.name)].find((name) => column.has(name));
  const names = shownColumns().filter((name) => !["name", "changed", "files", "started", "state"].includes(name) && new Set(chosen.map((row) => written(row[name]))).size > 1);
  const varied = names.some((name) => column.get(name)?.kind === "configuration") ? [] : sweeps.filter((one) => new Set(chosen.map((row) => written(row[one.name]))).size > 1).slice(0, 8).map((one) => one.name);
  const axes = [...varied, ...names];
  const ranked = [...chosen].sort((a, b) => (numeric(b[goal]) ? b[goal] : -Infinity) - (numeric(a[goal]) ? a[goal] : -Infinity) || 0);
  const drawn = ranked.slice(0, MOST.ticks);
  $("parallel-note").textContent = axes.length < 2 || chosen.length < 2 ? "There is nothing to compare yet: tick two runs that differ, or choose more columns."
    : `${slots.size > 1 ? `The ${drawn.length} ticked runs, in their colours.` : `${drawn.length === chosen.length ? `All ${drawn.length} runs shown` : `The best ${drawn.length} of the ${chosen.length} runs shown`}, since fewer than two are ticked; stronger lines are better in ${goal}.`}`;
  place.hidden = axes.length < 2 || chosen.length < 2;
  if (place.hidden) return;
  const lines = drawn.map((row) => ({
    key: row.$key, slot: slots.size > 1 ? slots.get(row.$key) : undefined, values: axes.map((name) => row[name]), text: [row.name, ...axes.map((name) => `${name} = ${written(row[name])}`)].join("\n"),
  }));
  drawParallel(place, axes.map((name) => column.get(name).title), lines, { best: false, onClick: (key) => list.find(key) });
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

function say() {
  const shown = list.table.getDataCount("active");
  const most = slots.size >= MOST.ticks ? ", the most that can be" : "";
  $("said").textContent = `${shown === rows.length ? `${shown} runs` : `${shown} of ${rows.length} runs`}, ${slots.size} ticked${most}`;
}

function applySearch() {
  const wanted = get("search").toLowerCase().split(/\s+/).filter(Boolean);
  const text = (row) => (row.$text ??= columns.map((one) => written(row[one.name])).join(" ").toLowerCase());
  wanted.length ? list.table.setFilter((row) => wanted.every((word) => text(own(row)).includes(word))) : list.table.clearFilter(false);
}

function applyGrouping() {
  const before = list.table.options.groupBy;
  $("mean-label").hidden = !grouping();
  if (!grouping() && !before) return;
  list.table.setGroupBy(grouping() ? (row) => groupOf(own(row)) : false);
  if (Boolean(before) !== Boolean(grouping())) list.show(shownColumns()); // columns are wider where they show spreads
}

function options(select, names, chosen) {
  const kinds = Object.entries(Object.groupBy ? Object.groupBy(names, (one) => one.kind) : { columns: names });
  const chosenIn = (parts) => parts.map((one) => element("option", { value: one.name, textContent: one.title, selected: one.name === chosen }));
  select.replaceChildren(...kinds.map(([kind, members]) => (kind === "undefined" || !kind ? chosenIn(members) : [Object.assign(element("optgroup", { label: kind }), {})].map((group) => (group.append(...chosenIn(members)), group)))).flat());
  select.value = chosen;
}

const toDraw = columns.filter((one) => !["name", "changed", "files"].includes(one.name));
const first = (...names) => names.find((name) => column.has(name)) ?? toDraw.find(isNumbers)?.name ?? toDraw[0].name;
const fewValues = (one) => (one.texts ? one.texts.length : new Set(one.values).size) <= Math.max(50, rows.length / 4);

// The controls show what the URL says.
function restoreControls() {
  const groups = [{ name: "", title: "nothing" }, { name: "recipe", title: GROUPS.recipe }, ...columns.filter((one) => one.kind !== "score" && !["name", "changed", "files", "started"].includes(one.name) && fewValues(one))];
  options($("group"), groups, get("group"));
  options($("scatter-x"), toDraw, get("scatter-x", first("seconds", "training_seconds")));
  options($("scatter-y"), toDraw, get("scatter-y", first("val_accuracy", "test_accuracy")));
  options($("scatter-colour"), [{ name: "", title: "nothing" }, { name: "recipe", title: GROUPS.recipe }, ...toDraw], get("scatter-colour", column.has("dataset") && column.get("dataset").texts.length > 1 ? "dataset" : column.has("optimizer") ? "optimizer" : ""));
  for (const [id, name, letter] of BOXES) $(id).checked = letter ? get(name).includes(letter) : Boolean(get(name));
  $("x").value = get("x", "epoch");
  $("smooth").value = get("smooth", "0");
  $("search").value = get("search");
  $("metrics").replaceChildren(...METRICS.map((name) => chip(name, name, chosenMetrics().includes(name), (on) => {
    choices.write({ metrics: METRICS.filter((one) => (one === name ? on : chosenMetrics().includes(one))).join(",") || "none" });
    later(ofTicked);
  })));
  columnChips();
}

function chip(name, title, checked, onChange) {
  const box = element("input", { type: "checkbox", checked });
  box.addEventListener("change", () => onChange(box.checked));
  const made = element("label", {}, box, title);
  made.dataset.name = name;
  return made;
}

function columnChips() {
  const wanted = $("find-column").value.toLowerCase();
  const shown = shownColumns();
  $("column-choices").replaceChildren(...["run", "score", "configuration"].flatMap((kind) => {
    const members = columns.filter((one) => one.kind === kind && one.title.toLowerCase().includes(wanted));
    return members.length ? [element("h3", { textContent: { run: "The run", score: "Measured", configuration: "Configuration that differs between runs" }[kind] }), element("div", { className: "chips" }, ...members.map((one) => chip(one.name, one.title, shown.includes(one.name), (on) => {
      const order = shownColumns();
      const files = order.indexOf("files");
      const now = on ? [...order.slice(0, files < 0 ? order.length : files), one.name, ...order.slice(files < 0 ? order.length : files)] : order.filter((name) => name !== one.name);
      choices.write({ columns: now.join(",") || "none" });
      list.show(now);
      later(drawParallelOfTicked);
    })))] : [];
  }));
}

const BOXES = [["log-x", "log", "x"], ["log-y", "log", "y"], ["mean", "mean"], ["share", "share"], ["scatter-log-x", "scatter-log", "x"], ["scatter-log-y", "scatter-log", "y"]];

function bind(id, event, change, redraw) {
  $(id).addEventListener(event, () => {
    choices.write(change($(id)));
    redraw();
  });
}

function bindAll() {
  for (const [id, name, letter] of BOXES) {
    const redraw = id.startsWith("scatter") ? () => later(drawScatter) : () => later(ofTicked);
    bind(id, "change", (box) => ({ [name]: letter ? (get(name).replace(letter, "") + (box.checked ? letter : "")) : box.checked ? "1" : "" }), redraw);
  }
  for (const id of ["scatter-x", "scatter-y", "scatter-colour"]) bind(id, "change", (select) => ({ [id]: select.value }), () => later(drawScatter));
  bind("x", "change", (select) => ({ x: select.value === "epoch" ? "" : select.value }), () => later(ofTicked));
  bind("smooth", "input", (range) => ({ smooth: Number(range.value) ? range.value : "" }), () => later(ofTicked));
  bind("search", "input", (input) => ({ search: input.value }), applySearch);
  bind("group", "change", (select) => ({ group: select.value, ...(select.value ? {} : { mean: "" }) }), () => {
    applyGrouping();
    $("mean").checked = Boolean(get("mean"));
    later(ofTicked);
  });
  $("find-column").addEventListener("input", columnChips);
  $("tick-shown").addEventListener("click", () => tick(shownRows().map((row) => row.$key), true));
  $("untick").addEventListener("click", () => tick([...slots.keys()], false));
  $("reset").addEventListener("click", () => {
    location.hash = "=";
    restore();
  });
  window.addEventListener("hashchange", restore);
  $("scatter-plot").on("plotly_click", (event) => tick([event.points[0].customdata], !slots.has(event.points[0].customdata)));
}

// All as the URL says; without a word about ticks the first three runs with curves are ticked, to show what ticks do.
function restore() {
  setTicks([]);
  setTicks(words("ticked", rows.filter((row) => row.$curves.epoch?.length).slice(0, 3).map((row) => row.$key)));
  restoreControls();
  list.show(shownColumns());
  applySearch();
  applyGrouping();
  drawTicked();
}

list.ready.then(() => {
  const scatter = $("scatter-plot");
  restore();
  draw(scatter, []);
  bindAll();
  list.table.on("dataFiltered", () => {
    later(say);
    later(drawScatter);
    if (slots.size < 2) later(drawParallelOfTicked);
  });
  document.documentElement.dataset.ready = "yes";
});
