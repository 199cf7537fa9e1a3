// Plots: Plotly in the page's own colours, drawn when they come into view.
"use strict";

ALEASEG.plots = (() => {
  const { h, loadScript } = ALEASEG;
  const MANY = 3000; // dots; more than that go on a canvas
  const drawn = new Map(); // element -> what makes its plot
  const rings = []; // places that can mark one case in each plot
  const SYMBOLS = { fine: "circle", label: "diamond", image: "square", both: "x" };
  let plotly = null;

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "300px" });

  // Draws what make(theme) returns ({data, layout}) once the element comes near the screen; again when asked again.
  function plot(element, make, options = {}) {
    const known = drawn.has(element);
    drawn.set(element, { make, options, ready: known && drawn.get(element).ready });
    if (known && drawn.get(element).ready) draw(element);
    else seen.observe(element);
  }

  // make(theme) returns {layout, and data (traces) or dots (one per case)}.
  async function draw(element) {
    plotly = plotly || loadScript("assets/plotly.min.js");
    await plotly;
    const entry = drawn.get(element);
    const colours = theme();
    const { data, dots, layout } = entry.make(colours);
    const many = dots && dots.rows.length > MANY;
    const traces = many ? frameOf(dots) : dots ? markers(dots, colours) : data;
    if (many) layout.dragmode = false; // the canvas has its own box
    await Plotly.react(element, traces, frame(layout), { displayModeBar: false, responsive: true });
    if (many && !entry.cloud) {
      const { hover, leave, open, select } = entry.options.rows;
      entry.cloud = ALEASEG.cloud(element, {
        open, select,
        hover: (row, event) => { hover(row, event); mark(row); },
        leave: () => { leave(); mark(null); },
      });
      element.on("plotly_afterplot", entry.cloud.paint);
    }
    if (entry.cloud) entry.cloud.set(many ? dots : null, colours);
    element.dataset.drawn = "1";
    if (!entry.ready) {
      entry.ready = true;
      if (dots) listen(element, entry.options, many);
    }
  }

  function theme() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    return {
      ink: read("ink"), muted: read("muted"), line: read("line"), accent: read("accent"), panel: read("panel"),
      fine: read("dot"), label: read("label"), image: read("image"), both: read("both"),
      curves: [read("curve1"), read("curve2"), read("curve3"), read("curve4")],
    };
  }

  function frame(layout) {
    const colours = theme();
    const axis = {
      gridcolor: colours.line, linecolor: colours.line, zeroline: false, tickcolor: colours.line,
      tickfont: { color: colours.muted, size: 11 }, title: { font: { color: colours.muted, size: 12 }, standoff: 6 },
    };
    const merged = (own) => ({ ...axis, ...own, title: { ...axis.title, ...(own && own.title) } });
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font: { family: "system-ui, sans-serif", size: 12, color: colours.ink }, dragmode: false,
      margin: { l: 52, r: 12, t: 8, b: 40 },
      ...layout, xaxis: merged(layout.xaxis), yaxis: merged(layout.yaxis),
    };
  }

  // One trace per kind, so that each has its own colour and shape.
  function markers({ rows, x, y, kind, size }, colours) {
    return ["fine", "image", "label", "both"].map((one) => {
      const mine = rows.filter((row) => kind(row) === one);
      return {
        type: "scatter", mode: "markers", hoverinfo: "none", customdata: mine, x: mine.map(x), y: mine.map(y),
        marker: {
          color: colours[one], symbol: SYMBOLS[one], size: one === "fine" ? size : size + 2,
          opacity: one === "fine" ? 0.6 : 0.95, line: { width: 0 },
        },
        selected: { marker: { opacity: 1 } }, unselected: { marker: { opacity: 0.2 } },
      };
    });
  }

  // Nothing to see, but axes that hold all dots.
  function frameOf({ rows, x, y }) {
    const ends = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    return [{ type: "scatter", mode: "markers", marker: { opacity: 0 }, hoverinfo: "skip", x: ends(rows.map(x)), y: ends(rows.map(y)) }];
  }

  // Hover, click and selection of dots; `at(row)` gives their place, for marks from elsewhere.
  function listen(element, options, many) {
    const ring = h("span", { class: "ring", hidden: true });
    element.append(ring);
    rings.push({ element, ring, at: options.at });
    if (many) return; // the canvas listens for itself
    element.on("plotly_hover", (event) => {
      const point = event.points[0];
      options.rows.hover(point.customdata, event.event);
      mark(point.customdata);
    });
    element.on("plotly_unhover", () => {
      options.rows.leave();
      mark(null);
    });
    element.on("plotly_click", (event) => options.rows.open(event.points[0].customdata));
    if (options.rows.select) {
      element.on("plotly_selected", (event) => {
        options.rows.select(event && event.points.length ? event.points.map((point) => point.customdata) : null);
      });
      element.on("plotly_deselect", () => options.rows.select(null));
    }
  }

  // Mark one case in every plot that shows it.
  function mark(row) {
    for (const { element, ring, at } of rings) {
      const place = row === null || !element._fullLayout ? null : at(row);
      ring.hidden = !place || place[0] === null || place[1] === null;
      if (ring.hidden) continue;
      const { xaxis, yaxis } = element._fullLayout;
      ring.style.left = `${xaxis._offset + xaxis.d2p(place[0])}px`;
      ring.style.top = `${yaxis._offset + yaxis.d2p(place[1])}px`;
    }
  }

  // Heights that keep the dots of a strip apart: stacked in narrow bins around the middle line.
  function swarm(values, low, high, bins = 140) {
    const stacks = new Map();
    const place = values.map((value) => {
      if (value === null) return null;
      const bin = Math.min(bins - 1, Math.floor(((value - low) / (high - low || 1)) * bins));
      const level = stacks.get(bin) || 0;
      stacks.set(bin, level + 1);
      return level;
    });
    const most = Math.max(9, ...stacks.values());
    return place.map((level) => (level === null ? null : ((level % 2 ? 1 : -1) * Math.ceil(level / 2) * 2) / most));
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [element, entry] of drawn) if (entry.ready) draw(element);
  });

  return { plot, swarm, mark };
})();
