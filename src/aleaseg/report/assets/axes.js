// Axes of a plot as SVG: ticks, lines, titles, curves and bars. Styles colour them, so that a change of scheme needs no drawing.
"use strict";

ALEASEG.axes = (() => {
  const { svg, number } = ALEASEG;

  // Round numbers from low to high, about as many as asked for.
  function ticks(low, high, about) {
    const span = high - low || 1;
    const raw = span / Math.max(1, about);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * span; k += 1) found.push(Number((k * step).toPrecision(12)));
    return found;
  }

  function powers(low, high) {
    const found = [];
    for (let k = Math.ceil(low); k <= Math.floor(high); k += 1) found.push(10 ** k);
    return found;
  }

  // {range, log} over so many pixels that begin at `from`; `turned`: high is up.
  function scale({ range, log }, from, length, turned) {
    const [low, high] = log ? range.map(Math.log10) : range;
    const place = (value) => ((log ? Math.log10(value) : value) - low) / (high - low || 1);
    const to = (value) => from + length * (turned ? 1 - place(value) : place(value));
    to.back = (pixel) => {
      const share = (pixel - from) / length;
      return low + (turned ? 1 - share : share) * (high - low);
    };
    to.ticks = (about) => (log ? powers(low, high) : ticks(low, high, about));
    return to;
  }

  const SIGNS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const power = (value) => `10${String(Math.round(Math.log10(value))).replace("-", "⁻").replace(/\d/g, (digit) => SIGNS[digit])}`;

  // The frame of a plot in an element of its own size; returns what places dots in it.
  function frame(width, height, { margin, x, y, rules = [], words = [], curves = [], bars = [] }) {
    const area = { left: margin.l, top: margin.t, width: Math.max(10, width - margin.l - margin.r), height: Math.max(10, height - margin.t - margin.b) };
    const [right, bottom] = [area.left + area.width, area.top + area.height];
    const toX = scale(x, area.left, area.width, false);
    const toY = scale(y, area.top, area.height, true);
    const root = svg("svg", { class: "axes", width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    const text = (said, left, top, kind, anchor, more) => svg("text", { x: left, y: top, class: kind, "text-anchor": anchor, ...more }, said);
    const line = (x1, y1, x2, y2, kind) => svg("line", { x1, y1, x2, y2, class: kind });
    for (const { at, said } of marks(x, toX, area.width / (x.ticks ? 1 : 70))) {
      root.append(line(toX(at), area.top, toX(at), bottom, "grid"), text(said, toX(at), bottom + 14, "tick", "middle"));
    }
    if (!y.hidden) {
      for (const { at, said } of marks(y, toY, area.height / 45)) {
        root.append(line(area.left, toY(at), right, toY(at), "grid"), text(said, area.left - 6, toY(at) + 3.5, "tick", "end"));
      }
    }
    if (x.title) root.append(text(x.title, area.left + area.width / 2, height - 5, "name", "middle"));
    if (y.title) root.append(text(y.title, 0, 0, "name", "middle", { transform: `translate(11 ${area.top + area.height / 2}) rotate(-90)` }));
    for (const rule of rules) {
      root.append("x" in rule ? line(toX(rule.x), area.top, toX(rule.x), bottom, "rule") : line(area.left, toY(rule.y), right, toY(rule.y), "rule"));
    }
    for (const { said, left, top, anchor } of words) {
      root.append(text(said, area.left + left * area.width + (anchor === "end" ? -5 : 5), bottom - top * area.height + (top < 0.5 ? 15 : -6), "word", anchor));
    }
    for (const { low, high, size, said, kind } of bars) {
      root.append(svg("rect", {
        x: toX(low) + 0.5, width: Math.max(1, toX(high) - toX(low) - 1), y: toY(size), height: Math.max(0, bottom - toY(size)), class: `bar ${kind}`,
      }, svg("title", {}, said)));
    }
    for (const { points, kind, said } of curves) {
      const path = points.filter((point) => point[1] !== null).map(([a, b]) => `${toX(a).toFixed(1)} ${toY(b).toFixed(1)}`).join("L");
      root.append(svg("path", { d: `M${path}`, class: `curve ${kind}` }, svg("title", {}, said)));
    }
    return { root, area, toX, toY };
  }

  function marks(axis, to, about) {
    if (axis.ticks) return axis.ticks;
    return to.ticks(about).map((at) => ({ at, said: axis.log ? power(at) : number(at) }));
  }

  return { frame };
})();
