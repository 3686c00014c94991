"use strict";
// The page of all runs: its data, the ticks and the table. What the reader chooses is in the URL: `choices` of table.js.

const data = pageData();
const $ = (id) => document.getElementById(id);
const MOST = { ticks: 200, curves: 100, matrices: 24, differences: 30 };
const OWN = /^(seed|plots|resume|save\.|tracker|hydra|search)/; // configuration that makes no other model

const columns = [
  ...data.columns,
  { name: "files", title: "files", kind: "run", texts: [""], at: data.keys.map(() => 0) },
];
const column = new Map(columns.map((one) => [one.name, one]));
const rows = decoded(columns, data.keys.length);
const byKey = new Map();
rows.forEach((row, i) => {
  const series = data.curves.of[i];
  Object.assign(row, {
    $key: data.keys[i],
    $path: data.paths[i],
    $matrix: data.matrices.of[i],
    $changed: new Set(data.changed.of[i].map((at) => data.changed.names[at])),
    $files: data.files.of[i].map((at) => data.files.names[at]),
    $curves: Object.fromEntries(
      data.curves.names.map((name, at) => [name, series[at]]).filter(([, values]) => values),
    ),
  });
  byKey.set(row.$key, row);
});
const sweeps = columns.filter((one) => one.kind === "configuration" && !OWN.test(one.name));
// What sets a run apart, but for its seed: the same for runs that are to be repeated.
const recipe = (row) =>
  (row.$recipe ??= sweeps
    .filter((one) => !empty(row[one.name]))
    .map((one) => `${one.name}=${written(row[one.name])}`)
    .join(" "));
const difference = (row) =>
  sweeps
    .filter((one) => row.$changed.has(one.name))
    .map((one) => `${one.name}=${written(row[one.name])}`)
    .join(" ") || "the default";
const GROUPS = { recipe: "configuration without the seed" };

const get = (name, otherwise = "") => choices.read().get(name) ?? otherwise;
const words = (name, otherwise) =>
  choices.read().has(name)
    ? get(name)
        .split(",")
        .filter((word) => word && word !== "none")
    : otherwise;
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
  for (const box of document.querySelectorAll(".tabulator-group input"))
    box.checked = box.keys.every((key) => slots.has(key));
  drawTicked();
}

const link = (row, name, text) =>
  element("a", { href: name ? `${row.$path}/${name}` : `${row.$path}/`, textContent: text });
const label = (name) => name.replace(/^train\.|^plots\/|_normalised/g, "").replace(/\.(?!log)\w+$/, "");

function tickBox(key, name) {
  const box = element("input", { type: "checkbox", checked: slots.has(key), ariaLabel: `tick ${name}` });
  box.dataset.key = key;
  box.addEventListener("click", (event) => event.stopPropagation());
  box.addEventListener("change", () => tick([key], box.checked));
  return box;
}

const grouping = () => (get("group") === "recipe" || column.has(get("group")) ? get("group") : "");
const groupOf = (row) => (grouping() === "recipe" ? recipe(row) : written(row[grouping()]) || "(none)");
const groupName = (row) => (grouping() === "recipe" ? difference(row) : groupOf(row));

function groupHeader(_, count, members) {
  const value = groupName(own(members[0]));
  const keys = members.map((member) => member.$key);
  const box = element("input", {
    type: "checkbox",
    keys,
    checked: keys.every((key) => slots.has(key)),
    ariaLabel: `tick all of ${value}`,
  });
  box.addEventListener("click", (event) => event.stopPropagation());
  box.addEventListener("change", () => tick(keys, box.checked));
  return element("span", {}, box, ` ${value} (${count})`);
}

// Tabulator copies rows at every turn, so that its own have the cells and no curves.
const cells = rows.map((row) =>
  Object.fromEntries([["$key", row.$key], ...columns.map((one) => [one.name, row[one.name]])]),
);
const own = (cells) => byKey.get(cells.$key);
const list = makeTable($("runs-table"), {
  columns,
  rows: cells,
  shown: shownColumns(),
  cells: {
    name: (value, row) => link(own(row), "", value),
    files: (_, row) =>
      element("span", { className: "links" }, ...own(row).$files.map((name) => link(own(row), name, label(name)))),
  },
  leading: [
    {
      field: "$key",
      title: "",
      headerSort: false,
      width: 36,
      formatter: (cell) => tickBox(cell.getValue(), cell.getData().name),
    },
  ],
  stateOf: (row) => row.state,
  options: { groupHeader },
});
const shownRows = () => list.table.getData("active").map(own);
