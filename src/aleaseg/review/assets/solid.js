// Mask and prediction in three dimensions: their surfaces, turned by hand. Drawn point by point on plain canvases: it
// takes no WebGL, and looks the same everywhere.
"use strict";

// What is behind it: no element.
ALEASEG.surface = (() => {
  const NEAR = [];
  for (let d = -2; d <= 2; d += 1) for (let h = -2; h <= 2; h += 1) for (let w = -2; w <= 2; w += 1) if (d || h || w) NEAR.push([d, h, w]);

  // What one step along d, h and w is on the screen, in mm: right, down, towards the viewer. Seen from the front, the head up.
  function axes(affine, spacing, steps) {
    if (!affine) return [[0, 0, -spacing[0] * steps[0]], [0, spacing[1] * steps[1], 0], [spacing[2] * steps[2], 0, 0]];
    return [0, 1, 2].map((axis) => [-affine[0][axis], -affine[2][axis], affine[1][axis]].map((mm) => mm * steps[axis]));
  }

  // The voxels of a label map that touch what is empty: places about the middle and outward normals (both x, y, z by
  // turns), values, and where in the map they lie. `empty` by value: what is not shown.
  function points({ data, shape }, axes_, empty) {
    const [D, H, W] = shape;
    const is = (d, h, w) => d >= 0 && h >= 0 && w >= 0 && d < D && h < H && w < W && !empty[data[(d * H + h) * W + w]];
    const found = { at: [], normal: [], value: [], place: [] };
    for (let d = 0; d < D; d += 1) {
      for (let h = 0; h < H; h += 1) {
        for (let w = 0; w < W; w += 1) {
          if (!is(d, h, w)) continue;
          if (is(d - 1, h, w) && is(d + 1, h, w) && is(d, h - 1, w) && is(d, h + 1, w) && is(d, h, w - 1) && is(d, h, w + 1)) continue;
          const out = [0, 0, 0];
          for (const [a, b, c] of NEAR) {
            if (is(d + a, h + b, w + c)) continue;
            const far = a * a + b * b + c * c;
            for (let k = 0; k < 3; k += 1) out[k] += (a * axes_[0][k] + b * axes_[1][k] + c * axes_[2][k]) / far;
          }
          const length = Math.hypot(...out) || 1;
          const [y, x, z] = [d - (D - 1) / 2, h - (H - 1) / 2, w - (W - 1) / 2];
          for (let k = 0; k < 3; k += 1) {
            found.at.push(y * axes_[0][k] + x * axes_[1][k] + z * axes_[2][k]);
            found.normal.push(out[k] / length);
          }
          found.place.push((d * H + h) * W + w);
          found.value.push(data[found.place[found.place.length - 1]]);
        }
      }
    }
    return { at: Float32Array.from(found.at), normal: Float32Array.from(found.normal), value: Int32Array.from(found.value), place: Int32Array.from(found.place) };
  }

  // Which points have nothing of their own value near them in another label map of the same shape: 1 where so.
  function alone({ value, place }, { data, shape }) {
    const [D, H, W] = shape;
    return Uint8Array.from(place, (at, k) => {
      const [d, h, w] = [Math.floor(at / (H * W)), Math.floor(at / W) % H, at % W];
      for (let a = Math.max(0, d - 1); a <= Math.min(D - 1, d + 1); a += 1) {
        for (let b = Math.max(0, h - 1); b <= Math.min(H - 1, h + 1); b += 1) {
          for (let c = Math.max(0, w - 1); c <= Math.min(W - 1, w + 1); c += 1) if (data[(a * H + b) * W + c] === value[k]) return 0;
        }
      }
      return 1;
    });
  }

  // The middle of points, as a place, and how far from it the farthest one lies.
  function around(each) {
    const [low, high] = [[Infinity, Infinity, Infinity], [-Infinity, -Infinity, -Infinity]];
    for (const at of each) for (let p = 0; p < at.length; p += 1) [low[p % 3], high[p % 3]] = [Math.min(low[p % 3], at[p]), Math.max(high[p % 3], at[p])];
    const middle = low.map((one, k) => (high[k] >= one ? (one + high[k]) / 2 : 0));
    return { middle, radius: Math.hypot(...low.map((one, k) => (high[k] >= one ? (high[k] - one) / 2 : 0))) || 1 };
  }

  // A turn about the upright axis of the screen, then one about the axis from left to right; rows of a matrix.
  function turn(about, over) {
    const [c, s, C, S] = [Math.cos(about), Math.sin(about), Math.cos(over), Math.sin(over)];
    return [[c, 0, s], [s * S, C, -c * S], [-s * C, S, c * C]];
  }

  // Points into pixels (four bytes each, and `hit`, the number of the point that is seen there or -1).
  // `middle`: what stands in the middle of the picture; `scale`: pixels of a mm; `edge`: of a voxel, in mm; `colours(k)`: [r, g, b] of a point.
  function draw({ at, normal }, turned, middle, scale, edge, colours, { width, height, pixels, hit }) {
    const depth = new Float32Array(width * height).fill(-Infinity);
    const half = Math.max(1, Math.ceil(Math.SQRT1_2 * edge * scale));
    hit.fill(-1);
    pixels.fill(0);
    const [X, Y, Z] = turned;
    const [mx, my, mz] = turned.map((row) => row[0] * middle[0] + row[1] * middle[1] + row[2] * middle[2]);
    for (let k = 0, p = 0; p < at.length; k += 1, p += 3) {
      const [nx, ny, nz] = [normal[p], normal[p + 1], normal[p + 2]];
      const facing = Z[0] * nx + Z[1] * ny + Z[2] * nz;
      if (facing < -0.3) continue;
      const x = Math.round(width / 2 + scale * (X[0] * at[p] + X[1] * at[p + 1] + X[2] * at[p + 2] - mx));
      const y = Math.round(height / 2 + scale * (Y[0] * at[p] + Y[1] * at[p + 1] + Y[2] * at[p + 2] - my));
      const z = Z[0] * at[p] + Z[1] * at[p + 1] + Z[2] * at[p + 2] - mz;
      // Light from the viewer's left shoulder.
      const light = 0.4 + 0.6 * Math.max(0, 0.86 * facing - 0.36 * (X[0] * nx + X[1] * ny + X[2] * nz) - 0.36 * (Y[0] * nx + Y[1] * ny + Y[2] * nz));
      const [r, g, b] = colours(k);
      for (let row = Math.max(0, y - half); row < Math.min(height, y + half); row += 1) {
        for (let column = Math.max(0, x - half); column < Math.min(width, x + half); column += 1) {
          const to = row * width + column;
          if (depth[to] >= z) continue;
          depth[to] = z;
          hit[to] = k;
          pixels[4 * to] = r * light;
          pixels[4 * to + 1] = g * light;
          pixels[4 * to + 2] = b * light;
          pixels[4 * to + 3] = 255;
        }
      }
    }
  }

  return { axes, points, alone, around, turn, draw };
})();

// `dialog` with places for ways to look, pictures and controls; `go(voxel)`: the reader points at something.
ALEASEG.solid = (dialog, { ways, pictures, controls }, classes, about, go) => {
  const { h, surface } = ALEASEG;
  const KINDS = { "|u1": Uint8Array, "<u1": Uint8Array, "<u2": Uint16Array, "<i2": Int16Array, "<i4": Int32Array };
  const GREY = [150, 156, 164];
  const rgb = (hex) => [1, 3, 5].map((from) => parseInt(hex.slice(from, from + 2), 16));
  let maps = []; // {kind, title, map, points, alone, hit, canvas}
  let [sideways, over, zoom] = [0.5, -0.35, 1];
  let [axes, edge, image, field] = [null, 1, null, null];
  let differing = false;
  const niivue = about.niivue ? ALEASEG.niivue(classes) : null;
  let within = true; // by NiiVue, where that is possible
  let marked = "mask";
  let turn = 0; // what is asked for later wins

  async function load(hash, kind) {
    const answer = await fetch(`/api/case/${hash}/solid/${kind}`);
    if (answer.status !== 200) return null;
    return { data: new KINDS[answer.headers.get("x-kind")](await answer.arrayBuffer()), shape: answer.headers.get("x-shape").split(",").map(Number) };
  }

  // `volume` as /api/case/{h}/volume has it; `hidden`: names of classes that are not shown; `seen`: {channel, window}.
  async function open(volume, hash, hidden, seen) {
    image = volume.image;
    dialog.showModal();
    const kinds = [["mask", "mask", image.mask], ["prediction", about.prediction, volume.prediction && volume.prediction.prediction]].filter((one) => one[2]);
    const look = () => (within && possible ? inside(kinds, hash, hidden, seen) : surfaces(kinds, hash, hidden));
    const possible = niivue !== null && niivue.possible(image);
    const way = (on, title) => h("label", { class: "toggle" }, h("input", { type: "radio", name: "way", checked: within === on, onchange: () => { within = on; look(); } }), title);
    ways.replaceChildren(...(possible ? [way(true, "within the image (NiiVue)"), way(false, "mask beside prediction")] : []));
    await look();
  }

  // What is marked, within the image.
  async function inside(kinds, hash, hidden, seen) {
    const mine = turn += 1;
    if (marked && !kinds.some(([kind]) => kind === marked)) marked = kinds[0][0];
    const options = [...kinds, ["", "nothing"]];
    controls.replaceChildren(h("label", {}, "marked ", h("select", { onchange: (event) => { marked = event.target.value; inside(kinds, hash, hidden, seen); } },
      options.map(([kind, title]) => h("option", { value: kind, selected: kind === marked }, title)))),
    h("span", { class: "muted" }, "Drag: turn. Wheel: size. C: cut it open, and where with the right button."));
    if (!pictures.querySelector(".niivue")) pictures.replaceChildren("…");
    try {
      await niivue.show(pictures, hash, image, marked, hidden, seen, () => mine === turn);
      if (mine === turn) dialog.dataset.within = `${hash} ${marked}`;
    } catch (error) {
      if (mine !== turn) return;
      within = false;
      ways.replaceChildren(h("span", { class: "muted" }, `NiiVue cannot show it: ${error.message}`));
      surfaces(kinds, hash, hidden);
    }
  }

  // Mask and prediction, beside one another.
  async function surfaces(kinds, hash, hidden) {
    const mine = turn += 1;
    pictures.replaceChildren("…");
    const loaded = await Promise.all(kinds.map(([kind]) => load(hash, kind)));
    if (mine !== turn) return;
    axes = surface.axes(image.affine, image.spacing_mm, image.steps);
    edge = Math.max(...axes.map((axis) => Math.hypot(...axis)));
    const most = Math.max(1, about.ignore || 0, ...classes.flatMap((one) => one.values));
    const empty = new Uint8Array(most + 1);
    empty[0] = 1;
    if (about.ignore) empty[about.ignore] = 1;
    for (const one of classes) if (hidden.has(one.name)) for (const value of one.values) empty[value] = 1;
    maps = kinds.map(([kind, title], place) => ({ kind, title, map: loaded[place], canvas: canvas(title) })).filter((one) => one.map);
    for (const one of maps) one.points = surface.points(one.map, axes, empty);
    field = surface.around(maps.map((one) => one.points.at));
    if (maps.length > 1) maps.forEach((one, place) => { one.alone = surface.alone(one.points, maps[1 - place].map); });
    pictures.replaceChildren(...(maps.length ? maps.map((one) => h("figure", { class: "solid" }, one.canvas, h("figcaption", {}, one.title))) : ["There is no mask and no prediction."]));
    controls.replaceChildren(...(maps.length > 1 ? [h("label", { class: "toggle" }, h("input", { type: "checkbox", checked: differing, onchange: (event) => {
      differing = event.target.checked;
      paint();
    } }), `only where mask and ${about.prediction} differ in colour`)] : []), h("span", { class: "muted" }, "Drag or arrow keys: turn. Wheel, + and −: size. A click: to that place."));
    paint();
    if (maps.length) maps[0].canvas.focus();
  }

  function canvas(title) {
    const element = h("canvas", { tabindex: 0, role: "img", "aria-label": `Surface of the ${title}` });
    let from = null;
    let moved = 0;
    const at = (event) => {
      const box = element.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * element.width, ((event.clientY - box.top) / box.height) * element.height];
    };
    element.addEventListener("pointerdown", (event) => { element.setPointerCapture(event.pointerId); [from, moved] = [at(event), 0]; });
    element.addEventListener("pointermove", (event) => {
      if (!from) return;
      const to = at(event);
      moved += Math.abs(to[0] - from[0]) + Math.abs(to[1] - from[1]);
      turnBy((4 * (to[0] - from[0])) / element.width, (-4 * (to[1] - from[1])) / element.height);
      from = to;
    });
    element.addEventListener("pointerup", (event) => {
      from = null;
      if (moved < 4) point(element, ...at(event));
    });
    element.addEventListener("pointercancel", () => { from = null; });
    element.addEventListener("wheel", (event) => { event.preventDefault(); size(event.deltaY < 0 ? 1.15 : 1 / 1.15); }, { passive: false });
    element.addEventListener("keydown", (event) => {
      const does = { ArrowLeft: () => turnBy(-0.15, 0), ArrowRight: () => turnBy(0.15, 0), ArrowUp: () => turnBy(0, 0.15), ArrowDown: () => turnBy(0, -0.15), "+": () => size(1.15), "-": () => size(1 / 1.15) }[event.key];
      if (!does) return;
      event.preventDefault();
      does();
    });
    return element;
  }

  function turnBy(about_, over_) {
    sideways += about_;
    over = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, over + over_));
    paint();
  }

  function size(factor) {
    zoom = Math.max(0.5, Math.min(8, zoom * factor));
    paint();
  }

  let asked = false;
  function paint() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      for (const one of maps) paintOne(one);
      dialog.dataset.drawn = `${Number(dialog.dataset.drawn || 0) + 1}`;
    });
  }

  function paintOne(one) {
    const element = one.canvas;
    const [width, height] = [element.clientWidth, element.clientHeight];
    if (!width || !height) return;
    [element.width, element.height] = [width, height];
    const pen = element.getContext("2d");
    const pixels = pen.createImageData(width, height);
    one.hit = new Int32Array(width * height);
    const turned = surface.turn(sideways, over);
    const scale = (0.45 * zoom * Math.min(width, height)) / (field.radius + edge);
    const hues = new Map(classes.flatMap((each) => each.values.map((value) => [value, rgb(each.mask)])));
    const colours = (k) => (differing && one.alone && !one.alone[k] ? GREY : hues.get(one.points.value[k]) || GREY);
    surface.draw(one.points, turned, field.middle, scale, edge, colours, { width, height, pixels: pixels.data, hit: one.hit });
    pen.putImageData(pixels, 0, 0);
    if (image.affine) letters(pen, turned, width, height);
  }

  // Where the patient's left, front and head are.
  function letters(pen, turned, width, height) {
    pen.font = "600 14px sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (const [letter, way] of [["L", [1, 0, 0]], ["R", [-1, 0, 0]], ["S", [0, -1, 0]], ["I", [0, 1, 0]], ["A", [0, 0, 1]], ["P", [0, 0, -1]]]) {
      const [x, y, z] = turned.map((row) => row[0] * way[0] + row[1] * way[1] + row[2] * way[2]);
      pen.fillStyle = `rgba(255, 255, 255, ${0.55 + 0.4 * z})`;
      pen.fillText(letter, width / 2 + x * (width / 2 - 14), height / 2 + y * (height / 2 - 14));
    }
  }

  function point(element, x, y) {
    const one = maps.find((each) => each.canvas === element);
    const k = one && one.hit ? one.hit[Math.floor(y) * element.width + Math.floor(x)] : -1;
    if (!(k >= 0)) return;
    const [, H, W] = one.map.shape;
    const at = one.points.place[k];
    const found = [Math.floor(at / (H * W)), Math.floor(at / W) % H, at % W];
    dialog.close();
    go(found.map((index, axis) => Math.min(image.shape[axis] - 1, index * image.steps[axis] + Math.floor(image.steps[axis] / 2))));
  }

  return { open };
};
