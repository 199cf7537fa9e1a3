// One plane of a volume on a canvas: the slice, what lies over it, a part of it close up; and what a pointer does on it.
"use strict";

// `hooks`: look(row, column), step(count), window(dx, dy), probe(row, column or null), focus().
ALEASEG.plane = (hooks) => {
  const { h, outline } = ALEASEG;
  const canvas = h("canvas", { tabindex: 0, role: "img" });
  const letters = ["left", "right", "top", "bottom"].map((side) => h("b", { class: `letter at-${side}` }));
  const caption = h("figcaption");
  const element = h("figure", { class: "plane" }, h("div", { class: "picture" }, canvas, letters), caption);
  const ground = document.createElement("canvas");
  const over = document.createElement("canvas");
  let drawn = null; // what was asked to be drawn last
  let part = null; // {x, y, zoom}: the middle in mm, and how much larger than whole; null: all of it
  let paths = null; // outlines of the slice: made once for each

  const size = () => [drawn.slice.columns * drawn.spacing[1], drawn.slice.rows * drawn.spacing[0]];

  // From mm in the picture to pixels of the canvas: scale, and where the picture's corner lies.
  function placed() {
    const [width, height] = size();
    const fit = Math.min(canvas.width / width, canvas.height / height);
    const at = part || { x: width / 2, y: height / 2, zoom: 1 };
    const scale = fit * at.zoom;
    return { scale, left: canvas.width / 2 - at.x * scale, top: canvas.height / 2 - at.y * scale };
  }

  // `what`: slice, mask, prediction, doubt ({data, rows, columns} or null), window, spacing [down, across] in mm, letters,
  // caption, title, cross [row, column] or null, voxels, layers (see viewer.js), focus.
  function draw(what) {
    if (!drawn || what.slice !== drawn.slice || what.mask !== drawn.mask || what.prediction !== drawn.prediction) paths = null;
    drawn = what;
    letters.forEach((letter, side) => { letter.textContent = what.letters[side]; });
    caption.replaceChildren(...what.caption);
    canvas.setAttribute("aria-label", what.title);
    paintGround();
    paintOver();
    paint();
  }

  function paintGround() {
    const { rows, columns, data } = drawn.slice;
    [ground.width, ground.height] = [columns, rows];
    const pen = ground.getContext("2d");
    const pixels = pen.createImageData(columns, rows);
    outline.grey(data, drawn.window, pixels.data);
    pen.putImageData(pixels, 0, 0);
  }

  function paintOver() {
    const { rows, columns } = drawn.slice;
    const { layers, mask, prediction, doubt } = drawn;
    over.width = 0; // clears it
    const filled = layers.difference && mask && prediction;
    const heated = layers.doubt && doubt;
    if (!heated && !filled && !(layers.fill && ((layers.mask && mask) || (layers.prediction && prediction)))) return;
    [over.width, over.height] = [columns, rows];
    const pen = over.getContext("2d");
    const pixels = pen.createImageData(columns, rows);
    if (heated) outline.fill(doubt.data, layers.heat, pixels.data);
    else if (filled) outline.difference(mask.data, prediction.data, layers.hiddenValues, layers.ignore, layers.differences, pixels.data);
    else if (layers.mask && mask) outline.fill(mask.data, layers.fills, pixels.data);
    else outline.fill(prediction.data, layers.fills, pixels.data);
    pen.putImageData(pixels, 0, 0);
  }

  function paint() {
    if (!drawn) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, width, height);
    const { scale, left, top } = placed();
    const [wide, high] = size().map((mm) => mm * scale);
    pen.imageSmoothingEnabled = !drawn.voxels;
    pen.drawImage(ground, left, top, wide, high);
    pen.imageSmoothingEnabled = false;
    if (over.width) pen.drawImage(over, left, top, wide, high);
    if (!drawn.layers.hidden) lines(pen, scale, left, top, ratio);
    if (drawn.cross) cross(pen, scale, left, top, ratio);
  }

  // Outlines of both kinds: all halos first, none may lie on another class's line.
  function lines(pen, scale, left, top, ratio) {
    const { layers, spacing } = drawn;
    if (!paths) paths = traced();
    const matrix = new DOMMatrix([spacing[1] * scale, 0, 0, spacing[0] * scale, left, top]);
    // A mask that is filled has no outline; what is predicted keeps its own over it.
    const filled = layers.fill && (layers.mask ? "mask" : "prediction");
    const shown = paths.filter((one) => layers[one.kind] && one.kind !== filled && !layers.hiddenClasses.has(one.name)).map((one) => {
      const path = new Path2D();
      path.addPath(one.path, matrix);
      return { ...one, path };
    });
    pen.lineJoin = "round";
    pen.globalAlpha = 0.45;
    pen.strokeStyle = "#000";
    pen.lineWidth = 3.4 * ratio;
    for (const one of shown) pen.stroke(one.path);
    pen.globalAlpha = layers.opacity;
    pen.lineWidth = 1.8 * ratio;
    for (const one of shown) {
      pen.strokeStyle = one.colour;
      pen.setLineDash(one.kind === "prediction" ? [6 * ratio, 3.5 * ratio] : []);
      pen.stroke(one.path);
    }
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  function traced() {
    return drawn.layers.classes.flatMap((one) => ["mask", "prediction"].filter((kind) => drawn[kind]).map((kind) => {
      const path = new Path2D();
      for (const line of outline.trace(drawn[kind], one.inside)) {
        path.moveTo(line[0], line[1]);
        for (let place = 2; place < line.length; place += 2) path.lineTo(line[place], line[place + 1]);
        path.closePath();
      }
      return { kind, name: one.name, colour: one[kind], path };
    }));
  }

  function cross(pen, scale, left, top, ratio) {
    const [x, y] = [left + (drawn.cross[1] + 0.5) * drawn.spacing[1] * scale, top + (drawn.cross[0] + 0.5) * drawn.spacing[0] * scale];
    const gap = 9 * ratio;
    pen.strokeStyle = "#ffffff";
    pen.globalAlpha = 0.6;
    pen.lineWidth = ratio;
    pen.beginPath();
    for (const [from, to] of [[0, y - gap], [y + gap, canvas.height]]) { pen.moveTo(x, from); pen.lineTo(x, to); }
    for (const [from, to] of [[0, x - gap], [x + gap, canvas.width]]) { pen.moveTo(from, y); pen.lineTo(to, y); }
    pen.stroke();
    pen.globalAlpha = 1;
  }

  // -- what part is seen -----------------------------------------------------------------------
  function zoom(factor, x, y) {
    if (!drawn) return;
    const [width, height] = size();
    const before = placed();
    const at = part || { x: width / 2, y: height / 2, zoom: 1 };
    const larger = Math.min(40, Math.max(1, at.zoom * factor));
    if (larger === 1) part = null;
    else {
      // What lies under the pointer stays there.
      const [mmX, mmY] = [(x - before.left) / before.scale, (y - before.top) / before.scale];
      const scale = (before.scale / at.zoom) * larger;
      part = { zoom: larger, x: mmX - (x - canvas.width / 2) / scale, y: mmY - (y - canvas.height / 2) / scale };
    }
    paint();
  }

  // A part worth a close-up ([row, column, rows, columns] in voxels), or all of it.
  function closeUp(box) {
    part = null;
    if (box && drawn) {
      const [width, height] = size();
      const [dy, dx] = drawn.spacing;
      const fit = Math.min(canvas.width / width, canvas.height / height);
      const larger = Math.min(canvas.width / (box[3] * dx), canvas.height / (box[2] * dy)) / fit;
      if (larger > 1.05) part = { zoom: Math.min(40, larger), x: (box[1] + box[3] / 2) * dx, y: (box[0] + box[2] / 2) * dy };
    }
    paint();
  }

  // -- the pointer -----------------------------------------------------------------------------
  function at(event) {
    const ratio = window.devicePixelRatio || 1;
    const box = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
    const { scale, left, top } = placed();
    const [row, column] = [Math.floor((y - top) / scale / drawn.spacing[0]), Math.floor((x - left) / scale / drawn.spacing[1])];
    const within = row >= 0 && column >= 0 && row < drawn.slice.rows && column < drawn.slice.columns;
    return { x, y, row, column, within };
  }

  let held = null; // what a drag does: "look", "pan" or "window"
  let last = null;
  let pointed = false; // the focus comes from a pointer, not from the Tab key
  canvas.addEventListener("pointerdown", (event) => {
    if (!drawn) return;
    pointed = true;
    canvas.focus({ preventScroll: true });
    pointed = false;
    canvas.setPointerCapture(event.pointerId);
    held = event.button === 2 || event.ctrlKey ? "window" : event.button === 1 || event.shiftKey ? "pan" : "look";
    last = at(event);
    if (held === "look" && last.within) hooks.look(last.row, last.column);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drawn) return;
    const now = at(event);
    if (held === "look" && now.within) hooks.look(now.row, now.column);
    if (held === "window") hooks.window((now.x - last.x) / canvas.width, (now.y - last.y) / canvas.height);
    if (held === "pan") {
      const { scale } = placed();
      const [width, height] = size();
      const from = part || { x: width / 2, y: height / 2, zoom: 1 };
      part = { ...from, x: from.x - (now.x - last.x) / scale, y: from.y - (now.y - last.y) / scale };
      paint();
    }
    last = now;
    hooks.probe(now.within ? now.row : null, now.column);
  });
  const release = () => { held = null; };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => hooks.probe(null));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    if (!drawn) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      const { x, y } = at(event);
      zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, x, y);
    } else hooks.step(event.deltaY > 0 ? 1 : -1);
  }, { passive: false });
  canvas.addEventListener("focus", () => { if (!pointed) hooks.focus(); });
  new ResizeObserver(paint).observe(canvas);

  return { element, canvas, draw, closeUp, zoom: (factor) => zoom(factor, canvas.width / 2, canvas.height / 2) };
};
