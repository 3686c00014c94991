"use strict";
// The table of a page: Tabulator over the columns of the page's data, and what the reader has chosen, in the URL.

// The choices are the fragment, `#sort=-val_accuracy&filter.optimizer=adam`; one without `=` names a place on the page.
const choices = {
  read() {
    const text = location.hash.slice(1);
    return new URLSearchParams(text.includes("=") && text !== "=" ? text : "");
  },
  // Empty values leave the URL.
  write(changes) {
    const now = choices.read();
    for (const [key, value] of Object.entries(changes))
      value === "" || value === null ? now.delete(key) : now.set(key, value);
    history.replaceState(null, "", `#${now.toString() || "="}`);
  },
};

// Links to places keep the choices.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (!link) return;
  event.preventDefault();
  document.getElementById(link.getAttribute("href").slice(1))?.scrollIntoView({ behavior: "smooth" });
});

function pageData(id = "data") {
  return JSON.parse(document.getElementById(id).textContent);
}

// Rows {column: value} of columns that come as numbers, or as texts of which each is stored once.
function decoded(columns, count) {
  return Array.from({ length: count }, (_, i) =>
    Object.fromEntries(columns.map((c) => [c.name, c.values ? c.values[i] : c.texts[c.at[i]]])),
  );
}

const isNumbers = (column) => Boolean(column.values);

// `>0.97`, `0.9..0.95`, `=adam`, `!adam`, `adam|nadam`; anything else is part of the text.
function fits(wanted, value) {
  return wanted.split("|").some((word) => {
    const [, sign, rest] = word.trim().match(/^(<=|>=|!=|=|!|<|>)?\s*(.*)$/);
    if (!rest) return true;
    const range = rest.match(/^(-?[\d.e+-]*?)\.\.(-?[\d.e+-]*)$/i);
    if (range && !sign)
      return (
        numeric(value) &&
        (range[1] === "" || value >= Number(range[1])) &&
        (range[2] === "" || value <= Number(range[2]))
      );
    if ("<>".includes(sign?.[0] ?? " ")) {
      const limit = Number(rest);
      if (!numeric(value) || Number.isNaN(limit)) return false;
      return { "<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit }[sign];
    }
    const text = written(value).toLowerCase();
    const same = text === rest.toLowerCase() || (numeric(value) && value === Number(rest));
    if (sign) return same === (sign === "=");
    return same || text.includes(rest.toLowerCase());
  });
}

function meanText(values) {
  const numbers = values.filter(numeric);
  if (!numbers.length) return "";
  const { mean, std } = meanAndSpread(numbers);
  return `${Number(mean.toPrecision(4))}${std === null ? "" : ` ± ${Number(std.toPrecision(2))}`}`;
}

// A Tabulator whose sorting and filters are in the URL. `cells`: {column: (value, row) => node} for columns that are
// more than a text; `stateOf`: (row) => what page.css marks it as; `leading`: columns of Tabulator that come first; `spread`: {column: column of its spread}.
function makeTable(place, { columns, rows, shown, cells = {}, leading = [], spread = {}, stateOf, options = {} }) {
  const byName = new Map(columns.map((column) => [column.name, column]));
  const narrow = matchMedia("(max-width: 45rem)").matches;

  let table = null;
  const definition = (name) => {
    const column = byName.get(name);
    return {
      title: column.title,
      field: name,
      maxWidth: cells[name] ? false : narrow ? 190 : 340,
      minWidth: table?.options.groupBy && isNumbers(column) ? 125 : 70,
      hozAlign: isNumbers(column) ? "right" : "left",
      headerTooltip: false,
      titleFormatter: () => element("button", { type: "button", textContent: column.title, title: `${name}: sort` }),
      formatter: (cell) => {
        const row = cell.getData();
        if (cells[name]) return cells[name](cell.getValue(), row);
        const text = written(cell.getValue()) + (empty(row[spread[name]]) ? "" : ` ± ${written(row[spread[name]])}`);
        if (text.length > 30) cell.getElement().title = text;
        return document.createTextNode(text);
      },
      sorter: (a, b, _a, _b, _column, direction) => compared(a, b, direction),
      headerFilter: "input",
      headerFilterFunc: fits,
      headerFilterPlaceholder: isNumbers(column) ? ">" : "",
      headerFilterParams: { elementAttributes: { "aria-label": `filter ${column.title}` } },
      topCalc: (values) => {
        if (isNumbers(column) && column.kind !== "configuration") return meanText(values);
        const kinds = new Set(values.map(written));
        return kinds.size === 1 ? [...kinds][0] : `${kinds.size} values`;
      },
    };
  };
  const definitions = (names) => [...leading, ...names.filter((name) => byName.has(name)).map(definition)];
  const sorting = () =>
    (choices.read().get("sort") ?? "")
      .split(",")
      .filter((word) => byName.has(word.replace(/^-/, "")))
      .map((word) => ({ column: word.replace(/^-/, ""), dir: word.startsWith("-") ? "desc" : "asc" }))
      .reverse();
  const filters = () =>
    [...choices.read()].filter(([key]) => key.startsWith("filter.")).map(([key, value]) => [key.slice(7), value]);
  const restore = (names) => {
    for (const name of names.filter((one) => byName.has(one))) {
      const wanted = filters().find(([field]) => field === name)?.[1] ?? "";
      if ((table.getHeaderFilterValue(name) ?? "") !== wanted) table.setHeaderFilterValue(name, wanted);
    }
    sorting().length ? table.setSort(sorting()) : table.clearSort();
  };
  let current = shown;
  let ready = false;
  table = new Tabulator(place, {
    data: rows,
    index: "$key",
    columns: definitions(shown),
    nestedFieldSeparator: false,
    layout: "fitDataStretch",
    maxHeight: "70vh",
    headerFilterLiveFilterDelay: 150,
    placeholder: "No row passes the filters",
    columnCalcs: "group",
    groupStartOpen: false,
    groupClosedShowCalcs: true,
    headerSortTristate: true,
    columnDefaults: { resizable: "header" },
    rowFormatter: (row) => {
      row.getElement().dataset.state = stateOf(row.getData());
    },
    ...options,
  });
  table.on("tableBuilt", () => {
    restore(current);
    ready = true;
  });
  table.on(
    "dataSorted",
    (sorters) =>
      ready &&
      choices.write({
        sort: sorters
          .map((one) => (one.dir === "desc" ? "-" : "") + one.field)
          .reverse()
          .join(","),
      }),
  );
  table.on("dataFiltered", () => {
    if (!ready) return;
    const now = new Map(table.getHeaderFilters().map((one) => [`filter.${one.field}`, String(one.value)]));
    choices.write(Object.fromEntries(current.map((name) => [`filter.${name}`, now.get(`filter.${name}`) ?? ""])));
  });
  return {
    table,
    ready: new Promise((done) => table.on("tableBuilt", done)),
    restore: () => restore(current),
    // Show other columns; the filters of those that go are lifted.
    show(names) {
      ready = false;
      current = names;
      const kept = Object.fromEntries(
        filters()
          .filter(([name]) => !names.includes(name))
          .map(([name]) => [`filter.${name}`, ""]),
      );
      choices.write(kept);
      table.clearHeaderFilter();
      table.setColumns(definitions(names));
      restore(names);
      ready = true;
    },
    // Lead to the row with this key, and mark it.
    find(key) {
      for (const row of document.querySelectorAll(".tabulator-row.found")) row.classList.remove("found");
      const row = table.getRow(key);
      if (!row) return;
      place.scrollIntoView({ block: "center" });
      table.scrollToRow(row, "center", false).then(
        () => row.getElement().classList.add("found"),
        () => {},
      );
    },
  };
}
