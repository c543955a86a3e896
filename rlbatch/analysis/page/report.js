"use strict";
// Draws each figure of the page from the JSON that stands in it.
(() => {
  const figures = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const dashes = ["solid", "dash", "dashdot", "dot"];
  const symbols = ["circle", "square", "diamond", "triangle-up"];

  const alpha = (colour, part) => {
    const n = parseInt(colour.slice(1), 16);
    return `rgba(${n >> 16}, ${(n >> 8) & 255}, ${n & 255}, ${part})`;
  };

  const lines = (figure) => figure.series.flatMap((one, i) => [
    { x: [...one.x, ...[...one.x].reverse()], y: [...one.high, ...[...one.low].reverse()], fill: "toself",
      fillcolor: alpha(one.colour, 0.15), line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false,
      legendgroup: one.name },
    { x: one.x, y: one.y, name: one.name, mode: one.x.length > 12 ? "lines" : "lines+markers", legendgroup: one.name,
      line: { color: one.colour, dash: dashes[i % dashes.length], width: 2 } },
  ]);

  const dots = (figure) => figure.series.flatMap((one, i) => {
    const shift = Math.pow(1.04, i);
    const x = one.x.map((value) => value * shift);
    const seeds = one.seeds.flatMap((values, k) => values.map((value) => [x[k], value]));
    return [
      { x: seeds.map((pair) => pair[0]), y: seeds.map((pair) => pair[1]), mode: "markers", showlegend: false,
        legendgroup: one.name, name: "one seed", marker: { color: alpha(one.colour, 0.4), size: 5 } },
      { x, y: one.y, name: one.name, mode: "markers", legendgroup: one.name,
        marker: { color: one.colour, size: 9, symbol: symbols[i % symbols.length] },
        error_y: { type: "data", symmetric: false, array: one.high.map((v, k) => v === null ? 0 : v - one.y[k]),
          arrayminus: one.low.map((v, k) => v === null ? 0 : one.y[k] - v) } },
    ];
  });

  const heat = (figure) => {
    const columns = [...new Set(figure.series.flatMap((one) => one.x))].sort((a, b) => a - b);
    const z = figure.series.map((one) => columns.map((x) => {
      const k = one.x.indexOf(x);
      return k < 0 ? null : one.y[k];
    }));
    return [{ type: "heatmap", x: columns.map(String), y: figure.series.map((one) => one.name), z, colorscale: "Viridis",
      texttemplate: "%{z:.2f}", hovertemplate: "batch %{x}, %{y}: %{z:.3f}<extra></extra>" }];
  };

  const layout = (figure) => {
    const ink = dark.matches ? "#e6e6ea" : "#1b1b1f";
    const grid = dark.matches ? "#3a3f47" : "#e3e5e9";
    const axis = { gridcolor: grid, zerolinecolor: grid, automargin: true };
    const ticks = [...new Set(figure.series.flatMap((one) => one.x))].sort((a, b) => a - b);
    const x = figure.kind === "heat" ? { ...axis, title: { text: figure.x }, type: "category" }
      : { ...axis, title: { text: figure.x }, type: figure.log ? "log" : "linear" };
    if (figure.kind === "dots") { x.tickvals = ticks; x.ticktext = ticks.map(String); }
    return { xaxis: x, yaxis: { ...axis, title: { text: figure.y }, type: figure.kind === "heat" ? "category" : figure.logY ? "log" : "linear" },
      margin: { t: 20, r: 10, b: 50, l: 60 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink }, legend: { orientation: "h", y: 1.12 }, hovermode: "closest" };
  };

  const kinds = { lines, dots, heat };
  const draw = () => {
    for (const place of document.querySelectorAll(".plot")) {
      const figure = figures[Number(place.dataset.figure)];
      Plotly.react(place, kinds[figure.kind](figure), layout(figure), { responsive: true, displaylogo: false });
    }
  };
  dark.addEventListener("change", draw);
  draw();
})();
