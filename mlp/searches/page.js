"use strict";
// The page of a search. A click on a trial in a picture leads to its row.

const data = pageData();
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
const find = (trial) => trial !== undefined && list?.find(trial);

drawEmbedded(find);
if (data.parallel) {
  const { axes, lines } = data.parallel;
  drawParallel(document.getElementById("parallel-plot"), axes, lines, { onClick: find });
}
const LOOKS = {
  complete: { color: "#56B4E9", width: 1.2 },
  pruned: { color: "#E69F00", width: 1.2, dash: "dash" },
  fail: { color: "#D55E00", width: 1.2, dash: "dot" },
  best: { color: "ink", width: 2.5 },
};
const curves = document.getElementById("curves-plot");
if (curves) {
  const lines = Object.keys(LOOKS).flatMap((kind) =>
    data.curves
      .filter((one) => one.kind === kind)
      .map(({ key, epoch, value }) => ({
        name: `trial ${key}${kind === "best" ? ", the best" : ""}`,
        key,
        look: LOOKS[kind],
        runs: [{ epoch, [data.objective]: value }],
      })),
  );
  drawCurves(curves, lines, data.objective, { height: 380, points: true });
  curves.on("plotly_click", (event) => find(event.points[0].customdata));
}
