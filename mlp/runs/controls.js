"use strict";
// What the reader can choose: controls show what the URL says, write into it, and draw again what has changed.

function say() {
  const shown = list.table.getDataCount("active");
  const most = slots.size >= MOST.ticks ? ", the most that can be" : "";
  $("said").textContent =
    `${shown === rows.length ? `${shown} runs` : `${shown} of ${rows.length} runs`}, ${slots.size} ticked${most}`;
}

function applySearch() {
  const wanted = get("search").toLowerCase().split(/\s+/).filter(Boolean);
  const text = (row) =>
    (row.$text ??= columns
      .map((one) => written(row[one.name]))
      .join(" ")
      .toLowerCase());
  wanted.length
    ? list.table.setFilter((row) => wanted.every((word) => text(own(row)).includes(word)))
    : list.table.clearFilter(false);
}

function applyGrouping() {
  const before = list.table.options.groupBy;
  $("mean-label").hidden = !grouping();
  if (!grouping() && !before) return;
  list.table.setGroupBy(grouping() ? (row) => groupOf(own(row)) : false);
  if (Boolean(before) !== Boolean(grouping())) list.show(shownColumns()); // columns are wider where they show spreads
}

function options(select, names, chosen) {
  const option = (one) => element("option", { value: one.name, textContent: one.title });
  const groups = [...grouped(names, (one) => one.kind)].flatMap(([label, members]) =>
    label ? [element("optgroup", { label }, ...members.map(option))] : members.map(option),
  );
  select.replaceChildren(...groups);
  select.value = chosen;
  if (select.selectedIndex < 0) select.selectedIndex = 0; // a bookmark of a column that is gone
}

const toDraw = columns.filter((one) => !["name", "changed", "files"].includes(one.name));
const first = (...names) => names.find((name) => column.has(name)) ?? toDraw.find(isNumbers)?.name ?? toDraw[0].name;
const fewValues = (one) => (one.texts ? one.texts.length : new Set(one.values).size) <= Math.max(50, rows.length / 4);

// The controls show what the URL says.
function restoreControls() {
  const groups = [
    { name: "", title: "nothing" },
    { name: "recipe", title: GROUPS.recipe },
    ...columns.filter(
      (one) => one.kind !== "score" && !["name", "changed", "files", "started"].includes(one.name) && fewValues(one),
    ),
  ];
  options($("group"), groups, get("group"));
  options($("scatter-x"), toDraw, get("scatter-x", first("seconds", "training_seconds")));
  options($("scatter-y"), toDraw, get("scatter-y", first("val_accuracy", "test_accuracy")));
  options(
    $("scatter-colour"),
    [{ name: "", title: "nothing" }, { name: "recipe", title: GROUPS.recipe }, ...toDraw],
    get(
      "scatter-colour",
      column.has("dataset") && column.get("dataset").texts.length > 1
        ? "dataset"
        : column.has("optimizer")
          ? "optimizer"
          : "",
    ),
  );
  for (const [id, name, letter] of BOXES) $(id).checked = letter ? get(name).includes(letter) : Boolean(get(name));
  $("x").value = get("x", "epoch");
  $("smooth").value = get("smooth", "0");
  $("search").value = get("search");
  $("metrics").replaceChildren(
    ...METRICS.map((name) =>
      chip(name, name, chosenMetrics().includes(name), (on) => {
        choices.write({
          metrics: METRICS.filter((one) => (one === name ? on : chosenMetrics().includes(one))).join(",") || "none",
        });
        later(ofTicked);
      }),
    ),
  );
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
  $("column-choices").replaceChildren(
    ...["run", "score", "configuration"].flatMap((kind) => {
      const members = columns.filter((one) => one.kind === kind && one.title.toLowerCase().includes(wanted));
      return members.length
        ? [
            element("h3", {
              textContent: {
                run: "The run",
                score: "Measured",
                configuration: "Configuration that differs between runs",
              }[kind],
            }),
            element(
              "div",
              { className: "chips" },
              ...members.map((one) =>
                chip(one.name, one.title, shown.includes(one.name), (on) => {
                  const order = shownColumns();
                  const files = order.indexOf("files");
                  const now = on
                    ? [
                        ...order.slice(0, files < 0 ? order.length : files),
                        one.name,
                        ...order.slice(files < 0 ? order.length : files),
                      ]
                    : order.filter((name) => name !== one.name);
                  choices.write({ columns: now.join(",") || "none" });
                  list.show(now);
                  later(drawParallelOfTicked);
                }),
              ),
            ),
          ]
        : [];
    }),
  );
}

const BOXES = [
  ["log-x", "log", "x"],
  ["log-y", "log", "y"],
  ["mean", "mean"],
  ["share", "share"],
  ["scatter-log-x", "scatter-log", "x"],
  ["scatter-log-y", "scatter-log", "y"],
];

function bind(id, event, change, redraw) {
  $(id).addEventListener(event, () => {
    choices.write(change($(id)));
    redraw();
  });
}

function bindAll() {
  for (const [id, name, letter] of BOXES) {
    const redraw = id.startsWith("scatter") ? () => later(drawScatter) : () => later(ofTicked);
    bind(
      id,
      "change",
      (box) => ({
        [name]: letter ? get(name).replace(letter, "") + (box.checked ? letter : "") : box.checked ? "1" : "",
      }),
      redraw,
    );
  }
  for (const id of ["scatter-x", "scatter-y", "scatter-colour"])
    bind(
      id,
      "change",
      (select) => ({ [id]: select.value }),
      () => later(drawScatter),
    );
  bind(
    "x",
    "change",
    (select) => ({ x: select.value === "epoch" ? "" : select.value }),
    () => later(ofTicked),
  );
  bind(
    "smooth",
    "input",
    (range) => ({ smooth: Number(range.value) ? range.value : "" }),
    () => later(ofTicked),
  );
  bind("search", "input", (input) => ({ search: input.value }), applySearch);
  bind(
    "group",
    "change",
    (select) => ({ group: select.value, ...(select.value ? {} : { mean: "" }) }),
    () => {
      applyGrouping();
      $("mean").checked = Boolean(get("mean"));
      later(ofTicked);
    },
  );
  $("find-column").addEventListener("input", columnChips);
  $("tick-shown").addEventListener("click", () =>
    tick(
      shownRows().map((row) => row.$key),
      true,
    ),
  );
  $("untick").addEventListener("click", () => tick([...slots.keys()], false));
  $("reset").addEventListener("click", () => {
    history.replaceState(null, "", "#=");
    restore();
  });
  window.addEventListener("hashchange", restore);
  $("scatter-plot").on("plotly_click", (event) =>
    tick([event.points[0].customdata], !slots.has(event.points[0].customdata)),
  );
}

// All as the URL says; without a word about ticks the first three runs with curves are ticked, to show what ticks do.
function restore() {
  setTicks([]);
  setTicks(
    words(
      "ticked",
      rows
        .filter((row) => row.$curves.epoch?.length)
        .slice(0, 3)
        .map((row) => row.$key),
    ),
  );
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
