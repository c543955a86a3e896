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
  const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
  const ROUND = [[1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 7]]; // what labels of a logarithmic axis begin with, as in plots.py
  const ENOUGH = 3; // of such labels
  const UNITS = [[1e9, "B"], [1e6, "M"], [1e3, "k"], [1, ""]];
  const hidden = new Set(); // batch sizes that the filter hides
  let paper = false;

  const channels = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  const alpha = (colour, part) => `rgba(${channels(colour).join(", ")}, ${part})`;

  // whether black contrasts more than white with a place on the colour scale, from 0 to 1 (WCAG 2.1)
  const isLight = (part) => {
    const at = part * (VIRIDIS.length - 1);
    const below = Math.min(Math.floor(at), VIRIDIS.length - 2);
    const [from, to] = [below, below + 1].map((i) => channels(VIRIDIS[i]));
    const [red, green, blue] = from.map((one, i) => (one + (at - below) * (to[i] - one)) / 255)
      .map((one) => one <= 0.04045 ? one / 12.92 : Math.pow((one + 0.055) / 1.055, 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > Math.sqrt(1.05 * 0.05) - 0.05;
  };

  const short = (value) => {
    const rounded = Number(value.toPrecision(3));
    const [unit, name] = UNITS.find(([least]) => rounded >= least) ?? [1, ""];
    return Number((rounded / unit).toPrecision(3)) + name;
  };

  // round numbers on a logarithmic axis, or its ends where too few lie in between
  const ticks = (values) => {
    const known = values.filter((value) => value > 0);
    if (known.length === 0) return {};
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const first = Math.floor(Math.log10(low));
    const decades = Array.from({ length: Math.floor(Math.log10(high)) - first + 1 }, (_, i) => Math.pow(10, first + i));
    const tried = ROUND.map((leading) => decades.flatMap((decade) => leading.map((one) => one * decade))
      .filter((value) => low <= value && value <= high));
    const tickvals = tried.find((some) => some.length >= ENOUGH) ?? [...new Set([low, high])];
    return { tickvals, ticktext: tickvals.map(short) };
  };

  // names are text, not the markup that Plotly draws
  const plain = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const cut = (name) => name.length > LABEL ? `${name.slice(0, LABEL / 2)}…${name.slice(1 - LABEL / 2)}` : name;

  const pick = (one, indices) => Object.fromEntries(Object.entries(one).map(([key, value]) =>
    [key, Array.isArray(value) && value.length ? indices.map((k) => value[k]) : value]));

  const isLine = (picture) => picture.kind === "lines" || picture.kind === "steps";
  const isPoint = (picture, one) => !isLine(picture) || one.x.length === 1;

  // the series with the number of their style, without the batch sizes that the filter hides
  const seen = (picture) => picture.series.map((one, i) => {
    const style = one.batch === null ? i : batches.indexOf(one.batch);
    if (isLine(picture)) return hidden.has(one.batch) ? null : { ...one, style };
    const indices = [...one.x.keys()].filter((k) => !hidden.has(one.x[k]));
    return indices.length || picture.kind === "heat" ? { ...pick(one, indices), style } : null;
  }).filter((one) => one !== null);

  // corners of a line whose heights hold until the next position, where it has steps
  const corners = (x, y, steps) =>
    x.flatMap((at, k) => steps && k ? [[at, y[k - 1]], [at, y[k]]] : [[at, y[k]]]);

  const lines = (series, picture) => series.flatMap((one) => {
    const steps = picture.kind === "steps";
    const known = [...one.x.keys()].filter((k) => one.low[k] !== null && one.high[k] !== null);
    const band = pick(one, known);
    const line = { x: one.x, y: one.y, name: one.name, showlegend: false,
      mode: one.x.length > 12 ? "lines" : "lines+markers",
      marker: isPoint(picture, one) ? { size: 10, symbol: symbols[one.style % symbols.length] } : { size: 6 },
      line: { color: one.colour, dash: styles[one.style % styles.length], width: 2, shape: steps ? "hv" : "linear" } };
    const around = known.length < 2 ? [] : [...corners(band.x, band.high, steps), ...corners(band.x, band.low, steps).reverse()];
    return known.length < 2 ? [line] : [
      { x: around.map((corner) => corner[0]), y: around.map((corner) => corner[1]), fill: "toself",
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

  const heat = (series) => {
    const columns = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
    const z = series.map((one) => columns.map((x) => one.x.includes(x) ? one.y[one.x.indexOf(x)] : null));
    const known = z.flat().filter((value) => value !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const hasBlack = (value) => isLight(high > low ? (value - low) / (high - low) : 0.5);
    // cells with black numbers and cells with white ones, on one scale of colours
    return [true, false].map((black) => ({ type: "heatmap", x: columns.map(String), y: series.map((one) => plain(one.name)),
      z: z.map((row) => row.map((value) => value !== null && hasBlack(value) === black ? value : null)),
      coloraxis: "coloraxis", xgap: 1, ygap: 1, texttemplate: "%{z:.3r}", textfont: { color: black ? "#000000" : "#ffffff" },
      hoverongaps: false, hovertemplate: "batch %{x}, %{y}: %{z:.4~g}<extra></extra>" }));
  };

  const layout = (picture, series) => {
    const night = dark.matches && !paper;
    const ink = night ? "#e6e6ea" : "#1b1b1f";
    const grid = night ? "#3a3f47" : "#e3e5e9";
    const axis = { gridcolor: grid, zerolinecolor: grid, automargin: true };
    const x = { ...axis, title: { text: picture.x, standoff: 8 }, type: picture.log ? "log" : "linear" };
    const y = { ...axis, title: { text: picture.y, standoff: 8 }, type: picture.logY ? "log" : "linear" };
    if (picture.log) Object.assign(x, ticks(series.flatMap((one) => one.x)));
    if (picture.logY) Object.assign(y, ticks(series.flatMap((one) => one.y)));
    if (picture.kind === "heat") {
      x.type = y.type = "category";
      y.tickvals = series.map((one) => plain(one.name));
      y.ticktext = series.map((one) => plain(cut(one.name)));
    }
    if (picture.kind === "dots") {
      x.tickvals = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
      x.ticktext = x.tickvals.map(String);
    }
    const coloraxis = { colorscale: VIRIDIS.map((colour, i) => [i / (VIRIDIS.length - 1), colour]),
      colorbar: { thickness: 12, title: { text: picture.colours, side: "right" } } };
    return { ...(picture.kind === "heat" ? { coloraxis } : {}), xaxis: x, yaxis: y, margin: { t: 30, r: 10, b: 50, l: 60 }, font: { color: ink }, hovermode: "closest",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      modebar: { bgcolor: "rgba(0,0,0,0)", color: night ? "#9aa0aa" : "#6b7078", activecolor: night ? "#8ab8ee" : "#1d5fa8" },
      autosize: !paper, ...(paper ? PAPER : {}) };
  };

  const kinds = { lines, steps: lines, dots, heat };

  const sample = (picture, one) => {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const point = isPoint(picture, one);
    const mark = document.createElementNS(space, point ? "path" : "line");
    const facts = point ? { d: SHAPES[one.style % SHAPES.length], fill: one.colour }
      : { x1: 0, y1: 5, x2: 24, y2: 5, stroke: one.colour, "stroke-width": 3,
        "stroke-dasharray": strokes[one.style % strokes.length] };
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
