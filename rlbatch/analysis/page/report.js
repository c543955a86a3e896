"use strict";
// Draws the figures of the page from the JSON that stands in it, as its controls say.
(() => {
  const { batches, figures } = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const styles = ["solid", "dash", "dashdot", "dot"];
  const strokes = ["", "6 3", "6 3 2 3", "2 3"];
  const symbols = ["circle", "square", "diamond", "triangle-up"];
  const PAPER = { width: 660, height: 270 }; // pixels that fit on a sheet
  const APART = 1.12; // factor between the places of two ways at one batch size
  const LABEL = 22; // letters of a row's name in a heat map
  const SHAPES = ["M7 5a5 5 0 1 0 10 0a5 5 0 1 0-10 0", "M8 1h8v8h-8z", "M12 0l5 5l-5 5l-5-5z", "M12 0l5 9h-10z"]; // symbols
  const hidden = new Set(); // batch sizes that the filter hides
  let paper = false;

  const alpha = (colour, part) => {
    const n = parseInt(colour.slice(1), 16);
    return `rgba(${n >> 16}, ${(n >> 8) & 255}, ${n & 255}, ${part})`;
  };

  // names are text, not the markup that Plotly draws
  const plain = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const cut = (name) => name.length > LABEL ? `${name.slice(0, LABEL / 2)}…${name.slice(1 - LABEL / 2)}` : name;

  const pick = (one, indices) => Object.fromEntries(Object.entries(one).map(([key, value]) =>
    [key, Array.isArray(value) && value.length ? indices.map((k) => value[k]) : value]));

  // the series with the number of their style, without the batch sizes that the filter hides
  const seen = (picture) => picture.series.map((one, i) => {
    const style = one.batch === null ? i : batches.indexOf(one.batch);
    if (picture.kind === "lines") return hidden.has(one.batch) ? null : { ...one, style };
    const indices = [...one.x.keys()].filter((k) => !hidden.has(one.x[k]));
    return indices.length || picture.kind === "heat" ? { ...pick(one, indices), style } : null;
  }).filter((one) => one !== null);

  const lines = (series) => series.flatMap((one) => {
    const known = [...one.x.keys()].filter((k) => one.low[k] !== null && one.high[k] !== null);
    const band = pick(one, known);
    const line = { x: one.x, y: one.y, name: one.name, showlegend: false,
      mode: one.x.length > 12 ? "lines" : "lines+markers", marker: { size: one.x.length > 1 ? 6 : 10 },
      line: { color: one.colour, dash: styles[one.style % styles.length], width: 2 } };
    return known.length < 2 ? [line] : [
      { x: [...band.x, ...[...band.x].reverse()], y: [...band.high, ...[...band.low].reverse()], fill: "toself",
        fillcolor: alpha(one.colour, 0.15), line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false },
      line,
    ];
  });

  const dots = (series, picture) => series.flatMap((one) => {
    // so that several ways stand side by side
    const shift = Math.pow(APART, one.style - (picture.series.length - 1) / 2);
    const x = one.x.map((value) => value * shift);
    const seeds = one.seeds.flatMap((values, k) => values.map((value) => [x[k], value, one.x[k]]));
    return [
      { x: seeds.map((dot) => dot[0]), y: seeds.map((dot) => dot[1]), customdata: seeds.map((dot) => dot[2]),
        mode: "markers", showlegend: false, marker: { color: alpha(one.colour, 0.4), size: 5 },
        hovertemplate: "batch %{customdata}: one seed %{y:.4~g}<extra></extra>" },
      { x, y: one.y, customdata: one.x, name: one.name, mode: "markers", showlegend: false,
        marker: { color: one.colour, size: 9, symbol: symbols[one.style % symbols.length] },
        hovertemplate: "batch %{customdata}: %{y:.4~g}",
        error_y: { type: "data", symmetric: false, array: one.high.map((v, k) => v === null ? 0 : v - one.y[k]),
          arrayminus: one.low.map((v, k) => v === null ? 0 : one.y[k] - v) } },
    ];
  });

  const heat = (series, picture) => {
    const columns = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
    const z = series.map((one) => columns.map((x) => one.x.includes(x) ? one.y[one.x.indexOf(x)] : null));
    return [{ type: "heatmap", x: columns.map(String), y: series.map((one) => plain(one.name)), z, colorscale: "Viridis",
      xgap: 1, ygap: 1, texttemplate: "%{z:.3~g}", hoverongaps: false,
      colorbar: { thickness: 12, title: { text: picture.colours, side: "right" } },
      hovertemplate: "batch %{x}, %{y}: %{z:.4~g}<extra></extra>" }];
  };

  const layout = (picture, series) => {
    const night = dark.matches && !paper;
    const ink = night ? "#e6e6ea" : "#1b1b1f";
    const grid = night ? "#3a3f47" : "#e3e5e9";
    const axis = { gridcolor: grid, zerolinecolor: grid, automargin: true };
    const x = { ...axis, title: { text: picture.x, standoff: 8 }, type: picture.log ? "log" : "linear" };
    const y = { ...axis, title: { text: picture.y, standoff: 8 }, type: picture.logY ? "log" : "linear" };
    if (picture.kind === "heat") {
      x.type = y.type = "category";
      y.tickvals = series.map((one) => plain(one.name));
      y.ticktext = series.map((one) => plain(cut(one.name)));
    }
    if (picture.kind === "dots") {
      x.tickvals = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
      x.ticktext = x.tickvals.map(String);
    }
    return { xaxis: x, yaxis: y, margin: { t: 30, r: 10, b: 50, l: 60 }, font: { color: ink }, hovermode: "closest",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      modebar: { bgcolor: "rgba(0,0,0,0)", color: ink }, autosize: !paper, ...(paper ? PAPER : {}) };
  };

  const kinds = { lines, dots, heat };

  const sample = (picture, one) => {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const mark = document.createElementNS(space, picture.kind === "lines" ? "line" : "path");
    const facts = picture.kind === "lines"
      ? { x1: 0, y1: 5, x2: 24, y2: 5, stroke: one.colour, "stroke-width": 3,
        "stroke-dasharray": strokes[one.style % strokes.length] }
      : { d: SHAPES[one.style % SHAPES.length], fill: one.colour };
    Object.entries({ width: 24, height: 10, "aria-hidden": true }).forEach(([key, value]) => svg.setAttribute(key, value));
    Object.entries(facts).forEach(([key, value]) => mark.setAttribute(key, value));
    svg.append(mark);
    return svg;
  };

  const legend = (figure, series) => {
    const list = figure.place.querySelector(".legend");
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.series : null;
    const shown = figure.picture.kind === "heat" || figure.picture.series.length < 2 ? [] : series;
    list.replaceChildren(...shown.map((one) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.series = one.name;
      button.setAttribute("aria-pressed", String(!figure.off.has(one.name)));
      button.append(sample(figure.picture, one), one.name);
      button.addEventListener("click", () => {
        if (!figure.off.delete(one.name)) figure.off.add(one.name);
        draw(figure);
      });
      item.append(button);
      return item;
    }));
    if (focused !== null) [...list.querySelectorAll("button")].find((button) => button.dataset.series === focused)?.focus();
  };

  const draw = (figure) => {
    const series = seen(figure.picture);
    const on = series.filter((one) => !figure.off.has(one.name));
    Plotly.react(figure.plot, kinds[figure.picture.kind](on, figure.picture), layout(figure.picture, on),
      { responsive: !paper, displaylogo: false, showSendToCloud: false });
    legend(figure, series);
  };

  const choose = (figure, number) => {
    figure.picture = figure.pictures[number];
    for (const part of figure.place.querySelectorAll("[data-picture]")) part.hidden = Number(part.dataset.picture) !== number;
    figure.place.querySelector("figcaption").textContent = figure.picture.title;
    figure.plot.setAttribute("aria-label", figure.picture.title);
  };

  const all = [...document.querySelectorAll("figure")].map((place) => ({
    place, plot: place.querySelector(".plot"), off: new Set(), pictures: figures[Number(place.dataset.figure)].pictures,
  }));

  for (const figure of all) {
    const selects = [...figure.place.querySelectorAll("select")];
    for (const controls of figure.place.querySelectorAll(".controls")) controls.hidden = false;
    for (const select of selects) {
      select.addEventListener("change", () => {
        const asked = selects.map((one) => one.value);
        choose(figure, figure.pictures.findIndex((one) => one.choice.every((word, i) => word === asked[i])));
        draw(figure);
      });
    }
    choose(figure, 0);
  }

  const drawAll = () => all.forEach(draw);
  const filter = document.getElementById("filter");
  if (filter !== null) {
    filter.hidden = false;
    filter.addEventListener("change", (event) => {
      const batch = Number(event.target.value);
      if (event.target.checked) hidden.delete(batch); else hidden.add(batch);
      for (const row of document.querySelectorAll("tr[data-batch]")) row.hidden = hidden.has(Number(row.dataset.batch));
      drawAll();
    });
  }
  dark.addEventListener("change", drawAll);
  for (const [name, onPaper] of [["beforeprint", true], ["afterprint", false]]) {
    window.addEventListener(name, () => { paper = onPaper; drawAll(); });
  }
  drawAll();
})();
