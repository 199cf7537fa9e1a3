// Plots: axes as SVG, one dot per case on a canvas, drawn when they come into view. A plot of dots can be pointed at,
// clicked, brushed with the mouse, and walked through with the keys.
"use strict";

ALEASEG.plots = (() => {
  const { h, axes } = ALEASEG;
  const REACH = 9; // pixels around the pointer in which a dot is found
  const plots = new Map(); // host -> what draws it
  let kept = null; // row -> whether the filter lets it through
  let boxes = {}; // name of a score -> [low, high]

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, { rootMargin: "300px" });
  const sized = new ResizeObserver((entries) => {
    for (const { target } of entries) if (plots.get(target).ready) draw(target);
  });

  // Draws what make() returns once the host comes near the screen, and again when it is asked again. `hooks` of a
  // plot of dots: hover(row, event), leave(), open(row), range({name: [low, high] or null}), title(row), label.
  function plot(host, make, hooks) {
    const before = plots.get(host);
    plots.set(host, { ...before, make, hooks });
    if (before && before.ready) draw(host);
    else if (!before) {
      seen.observe(host);
      sized.observe(host);
    }
  }

  function draw(host) {
    const entry = plots.get(host);
    seen.unobserve(host);
    if (!host.clientWidth) return;
    const drawing = entry.make();
    const margin = { l: 52, r: 12, t: 8, b: 42, ...drawing.margin };
    Object.assign(entry, axes.frame(host.clientWidth, host.clientHeight, { ...drawing, margin }), { dots: drawing.dots, names: drawing.names || {}, ready: true });
    if (entry.svg) entry.svg.replaceWith(entry.root);
    else host.prepend(entry.root);
    entry.svg = entry.root;
    if (drawing.dots) {
      if (!entry.canvas) entry.cloud = cloud(host, entry);
      entry.cloud.paint();
    }
    host.dataset.drawn = "1";
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    return { fine: read("dot"), label: read("label"), image: read("image"), both: read("both") };
  }

  function shape(context, kind, x, y, r) {
    context.beginPath();
    if (kind === "image") context.rect(x - r, y - r, 2 * r, 2 * r);
    else if (kind === "label") {
      context.moveTo(x, y - 1.3 * r);
      context.lineTo(x + 1.3 * r, y);
      context.lineTo(x, y + 1.3 * r);
      context.lineTo(x - 1.3 * r, y);
    } else if (kind === "both") {
      for (const [a, b] of [[-1, 1], [1, -1]]) { // two bars crossed
        context.moveTo(x + a * r * 1.2 - 1, y - r * 1.2);
        context.lineTo(x + a * r * 1.2 + 1.4, y - r * 1.2);
        context.lineTo(x + b * r * 1.2 + 1, y + r * 1.2);
        context.lineTo(x + b * r * 1.2 - 1.4, y + r * 1.2);
      }
    } else context.arc(x, y, r, 0, 7);
    context.fill();
  }

  // The dots of a plot, and all that is done with them.
  function cloud(host, entry) {
    const canvas = entry.canvas = h("canvas", {
      class: "cloud", tabindex: 0, role: "application", "aria-roledescription": "plot of cases", "aria-label": entry.hooks.label,
    });
    const [box, ring] = [h("span", { class: "box", hidden: true }), h("span", { class: "ring", hidden: true })];
    entry.ring = ring;
    host.append(canvas, box, ring);
    let places = []; // [row, x, y] in pixels of the plot area
    let from = null; // where a box is being drawn from
    let near = null;

    function paint() {
      const { area, toX, toY, dots } = entry;
      const ratio = devicePixelRatio || 1;
      Object.assign(canvas.style, { left: `${area.left}px`, top: `${area.top}px`, width: `${area.width}px`, height: `${area.height}px` });
      [canvas.width, canvas.height] = [area.width * ratio, area.height * ratio];
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      places = dots.rows.map((row) => [row, toX(dots.x(row)) - area.left, toY(dots.y(row)) - area.top]);
      const said = colours();
      for (const kind of ["fine", "image", "label", "both"]) {
        context.fillStyle = said[kind];
        const alpha = kind === "fine" ? (places.length > 2000 ? 0.35 : 0.6) : 0.9;
        const r = dots.size / 2 + (kind === "fine" ? 0 : 0.7);
        for (const [row, x, y] of places) {
          if (dots.kind(row) !== kind) continue;
          context.globalAlpha = kept && !kept(row) ? 0.12 : alpha;
          shape(context, kind, x, y, r);
        }
      }
      showBox();
    }

    // The ranges that are kept now, where this plot has their axes.
    function showBox() {
      const { area, toX, toY, names } = entry;
      const [x, y] = [boxes[names.x], boxes[names.y]];
      if (from) return;
      box.hidden = !x && !y;
      if (box.hidden) return;
      const [left, right] = x ? x.map((value) => toX(value)) : [area.left, area.left + area.width];
      const [bottom, top] = y ? y.map((value) => toY(value)) : [area.top + area.height, area.top];
      size(left - 4, top - 4, right + 4, bottom + 4);
    }

    function size(left, top, right, bottom) {
      Object.assign(box.style, { left: `${left}px`, top: `${top}px`, width: `${Math.max(0, right - left)}px`, height: `${Math.max(0, bottom - top)}px` });
    }

    function at(event) {
      const around = canvas.getBoundingClientRect();
      return [event.clientX - around.left, event.clientY - around.top];
    }

    function nearest([px, py]) {
      let best = null;
      let reach = REACH * REACH;
      for (const [row, x, y] of places) {
        const distance = (x - px) ** 2 + (y - py) ** 2;
        if (distance < reach) [best, reach] = [row, distance];
      }
      return best;
    }

    function point(row, event) {
      if (row === near) return;
      near = row;
      canvas.style.cursor = row === null ? "" : "pointer";
      if (row === null) entry.hooks.leave();
      else entry.hooks.hover(row, event);
      mark(row);
    }

    canvas.addEventListener("pointermove", (event) => {
      if (!from) {
        point(nearest(at(event)), event);
        return;
      }
      const here = at(event);
      const { area, names } = entry;
      const [left, right] = [Math.min(from[0], here[0]), Math.max(from[0], here[0])];
      const [top, bottom] = names.y ? [Math.min(from[1], here[1]), Math.max(from[1], here[1])] : [0, area.height];
      box.hidden = Math.hypot(here[0] - from[0], here[1] - from[1]) < 6;
      size(area.left + left, area.top + top, area.left + right, area.top + bottom);
    });
    canvas.addEventListener("pointerleave", () => { if (!from) point(null); });
    canvas.addEventListener("pointerdown", (event) => {
      if (entry.names.x && event.pointerType === "mouse" && event.button === 0) {
        from = at(event);
        canvas.setPointerCapture(event.pointerId);
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      const [start, end] = [from, at(event)];
      from = null;
      if (start && Math.hypot(end[0] - start[0], end[1] - start[1]) >= 6) brush(start, end);
      else {
        const row = nearest(end);
        if (row !== null) entry.hooks.open(row);
        else brush(null);
      }
      showBox();
    });

    function brush(start, end) {
      const { area, toX, toY, names } = entry;
      const back = (to, offset, side) => [start[side], end[side]].map((pixel) => to.back(pixel + offset)).sort((a, b) => a - b);
      const changes = {};
      if (names.x) changes[names.x] = start && back(toX, area.left, 0);
      if (names.y) changes[names.y] = start && back(toY, area.top, 1);
      if (Object.keys(changes).some((name) => changes[name] || boxes[name])) entry.hooks.range(changes);
    }

    // From dot to dot by their first axis; a reader that hears the page is told each case.
    canvas.addEventListener("keydown", (event) => {
      const order = places.filter(([row]) => !kept || kept(row)).sort((a, b) => a[1] - b[1] || b[2] - a[2]);
      const now = order.findIndex(([row]) => row === near);
      const to = { ArrowRight: now + 1, ArrowUp: now + 1, ArrowLeft: now < 0 ? order.length - 1 : now - 1, ArrowDown: now - 1, Home: 0, End: order.length - 1 }[event.key];
      if (event.key === "Enter" && near !== null) entry.hooks.open(near);
      else if (event.key === "Escape") point(null);
      else if (to !== undefined && order.length) {
        const [row, x, y] = order[Math.min(order.length - 1, Math.max(0, to))];
        const around = canvas.getBoundingClientRect();
        point(row, { clientX: around.left + x, clientY: around.top + y });
        canvas.setAttribute("aria-label", entry.hooks.title(row));
        document.getElementById("said").textContent = entry.hooks.title(row);
      } else return;
      event.preventDefault();
    });
    canvas.addEventListener("blur", () => {
      point(null);
      canvas.setAttribute("aria-label", entry.hooks.label);
    });
    return { paint, showBox };
  }

  // Mark one case in every plot that shows it.
  function mark(row) {
    for (const { dots, ring, toX, toY } of plots.values()) {
      if (!ring) continue;
      const [x, y] = row === null ? [null, null] : [dots.x(row), dots.y(row)];
      ring.hidden = x === null || y === null || x === undefined || y === undefined;
      if (!ring.hidden) Object.assign(ring.style, { left: `${toX(x)}px`, top: `${toY(y)}px` });
    }
  }

  // Which cases stand out, and which ranges are asked for; null: all.
  function keep(test, ranges) {
    [kept, boxes] = [test, ranges];
    for (const { cloud: dots, ready } of plots.values()) if (ready && dots) dots.paint();
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

  const redraw = () => {
    for (const [host, entry] of plots) if (entry.ready) draw(host);
  };
  const drawAll = () => {
    for (const host of plots.keys()) draw(host);
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  // On paper: everything, on white, whatever the screen shows.
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    drawAll();
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    redraw();
  });
  return { plot, swarm, mark, keep };
})();
