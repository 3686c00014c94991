"use strict";

// Pictures: each <figure> holds the data of its own as JSON.
const touch = matchMedia("(pointer: coarse)").matches;
for (const figure of document.querySelectorAll("figure")) {
  const drawn = JSON.parse(figure.querySelector("script").textContent);
  const plot = figure.querySelector(".plot");
  if (drawn.least_width) plot.style.minWidth = `${drawn.least_width}px`;
  if (drawn.most_width) plot.style.maxWidth = `${drawn.most_width}px`;
  if (touch) drawn.layout.dragmode = false; // a finger on a picture scrolls the page
  Plotly.newPlot(plot, drawn.data, drawn.layout, {
    responsive: true,
    displaylogo: false,
    displayModeBar: drawn.brush ? false : undefined,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  });
  plot.on("plotly_click", (event) => {
    const trial = event.points[0].customdata;
    if (trial !== undefined) location.hash = `trial-${trial}`;
  });
  if (drawn.brush) brush(plot, drawn.data.slice(0, drawn.brush));
}

// Parallel coordinates: the first traces are lines, one for each trial; only those that were selected stay.
function brush(plot, lines) {
  const show = (chosen) => {
    const opacity = lines.map((line) => (!chosen || chosen.has(line.customdata[0]) ? 1 : 0.05));
    Plotly.restyle(plot, { opacity }, [...lines.keys()]);
  };
  plot.on("plotly_selected", (event) => {
    show(event && event.points.length ? new Set(event.points.map((point) => point.customdata)) : null);
  });
  plot.on("plotly_deselect", () => show(null));
}

// Table: a click on a header sorts by it, a second one turns the order. Empty cells stay at the end.
for (const header of document.querySelectorAll("th")) {
  header.querySelector("button").addEventListener("click", () => {
    const body = header.closest("table").tBodies[0];
    const value = (row) => row.cells[header.cellIndex].dataset.value;
    const rows = [...body.rows];
    const full = rows.filter((row) => value(row) !== "");
    const numbers = full.every((row) => !Number.isNaN(Number(value(row))));
    const turn = header.ariaSort === "ascending" ? -1 : 1;
    full.sort((a, b) => turn * (numbers
      ? Number(value(a)) - Number(value(b))
      : value(a).localeCompare(value(b), undefined, { numeric: true })));
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.ariaSort = turn === 1 ? "ascending" : "descending";
    body.append(...full, ...rows.filter((row) => value(row) === ""));
  });
}
