// Dots on a canvas over a Plotly frame, for thousands of cases: elements would be too many,
// and a browser allows too few WebGL contexts for a page of plots.
"use strict";

ALEASEG.cloud = (element, options) => {
  const REACH = 9; // pixels around the pointer in which a dot is found
  const canvas = ALEASEG.h("canvas", { class: "cloud" });
  const box = ALEASEG.h("span", { class: "box", hidden: true });
  element.append(canvas, box);
  let dots = null;
  let colours = null;
  let places = []; // [row, x, y] in pixels of the plot area
  let from = null; // where a box is being drawn from
  let near = null;

  function paint() {
    if (!dots || !element._fullLayout) return;
    const { xaxis, yaxis, _size: area } = element._fullLayout;
    const ratio = devicePixelRatio || 1;
    Object.assign(canvas.style, { left: `${area.l}px`, top: `${area.t}px`, width: `${area.w}px`, height: `${area.h}px` });
    canvas.width = area.w * ratio;
    canvas.height = area.h * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    places = dots.rows.map((row) => [row, xaxis.d2p(dots.x(row)), yaxis.d2p(dots.y(row))]);
    const dim = dots.rows.length > 2000 ? 0.35 : 0.6;
    for (const kind of ["fine", "image", "label", "both"]) {
      context.fillStyle = colours[kind];
      context.globalAlpha = kind === "fine" ? dim : 0.9;
      const r = dots.size / 2 + (kind === "fine" ? 0 : 0.7);
      for (const [row, x, y] of places) {
        if (dots.kind(row) !== kind) continue;
        context.beginPath();
        if (kind === "image") context.rect(x - r, y - r, 2 * r, 2 * r);
        else if (kind === "label") {
          context.moveTo(x, y - 1.3 * r);
          context.lineTo(x + 1.3 * r, y);
          context.lineTo(x, y + 1.3 * r);
          context.lineTo(x - 1.3 * r, y);
        } else context.arc(x, y, r, 0, 7);
        context.fill();
      }
    }
  }

  function at(event) {
    const frame = canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
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

  canvas.addEventListener("pointermove", (event) => {
    const here = at(event);
    if (from) {
      const [left, top] = [Math.min(from[0], here[0]), Math.min(from[1], here[1])];
      Object.assign(box.style, {
        left: `${canvas.offsetLeft + left}px`, top: `${canvas.offsetTop + top}px`,
        width: `${Math.abs(here[0] - from[0])}px`, height: `${Math.abs(here[1] - from[1])}px`,
      });
      box.hidden = false;
      return;
    }
    const row = nearest(here);
    if (row === near) return;
    near = row;
    canvas.style.cursor = row === null ? "" : "pointer";
    if (row === null) options.leave();
    else options.hover(row, event);
  });
  canvas.addEventListener("pointerleave", () => {
    near = null;
    if (!from) options.leave();
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (options.select && event.pointerType === "mouse" && event.button === 0) {
      from = at(event);
      canvas.setPointerCapture(event.pointerId);
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    const [start, end] = [from, at(event)];
    from = null;
    const drawn = start && Math.hypot(end[0] - start[0], end[1] - start[1]) > 6;
    if (drawn) {
      const within = (value, side) => value >= Math.min(start[side], end[side]) && value <= Math.max(start[side], end[side]);
      const rows = places.filter(([, x, y]) => within(x, 0) && within(y, 1)).map(([row]) => row);
      options.select(rows.length ? rows : null);
      return;
    }
    box.hidden = true;
    const row = nearest(end);
    if (row !== null) options.open(row);
    else if (options.select) options.select(null);
  });

  return {
    set(newDots, newColours) {
      [dots, colours] = [newDots, newColours];
      paint();
    },
    paint,
  };
};
