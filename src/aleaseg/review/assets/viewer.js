// Three planes of a case through one voxel: which slices, in which window, with what over them.
"use strict";

// `parts`: elements planes, toggles, bar, probe, caption. `classes`: [{name, values, mask, oof}], a colour for each.
// `solid(volume, hidden, {channel, window})` shows the case in three dimensions without the hidden classes.
ALEASEG.volumeViewer = (parts, classes, about, solid) => {
  const { h, number, outline, slices } = ALEASEG;
  const DIFFERENCES = ["#ff5a52", "#4aa8ff", "#e05cff"]; // the mask alone, the prediction alone, two classes
  const shown = { mask: true, prediction: true, difference: false, doubt: false, fill: false, cross: true, voxels: false, close: false, hidden: false };
  const hiddenClasses = new Set();
  let opacity = 0.9;
  let channel = 0;
  let volume = null; // as /api/case/{h}/volume has it
  let source = null;
  let voxel = [0, 0, 0];
  let main = 0; // the axis whose plane is large
  let grey = null; // which values are black and white
  let drawnAt = 0;

  const image = () => volume.image;
  const views = [0, 1, 2].map((axis) => ALEASEG.plane({
    look: (row, column) => go(toVoxel(axis, row, column)),
    step: (count) => step(count, axis),
    window: (across, down) => windowed(() => grey.shift(channel, across, down)),
    probe: (row, column) => probe(axis, row, column),
    focus: () => { if (volume) lead(axis); },
  }));
  views.forEach((view, axis) => view.element.addEventListener("dblclick", () => lead(axis)));
  const sliders = [0, 1, 2].map((axis) => h("input", { type: "range", min: 0, "aria-label": "Slice", class: "slider", oninput: (event) => {
    const to = [...voxel];
    to[axis] = Number(event.target.value);
    go(to);
  } }));
  views.forEach((view, axis) => view.element.append(sliders[axis]));
  parts.planes.replaceChildren(...views.map((view) => view.element));

  // -- a case ----------------------------------------------------------------------------------
  // A case, once its image is decoded; again, once its prediction is.
  function show(found, hash) {
    const same = volume && volume.stamp === found.stamp;
    volume = found;
    if (!same) {
      if (source) source.stop();
      source = slices(hash, image().planes);
      voxel = image().shape.map((length) => Math.floor(length / 2));
      main = 0;
      grey = ALEASEG.greyWindow(image().windows, image().ranges, about.channels);
      channel = Math.min(channel, image().channels - 1);
      shown.close = false;
      views.forEach((view) => view.closeUp(null));
    }
    const places = found.prediction ? found.prediction.places : [];
    if (places.length && (!same || !volume.looked)) look(places[0]);
    volume.looked = places.length > 0;
    parts.planes.dataset.planes = String(image().planes.length);
    views.forEach((view, axis) => { view.element.hidden = axis >= image().planes.length; });
    sliders.forEach((slider, axis) => { slider.max = image().shape[axis] - 1; slider.hidden = image().shape[axis] < 2; });
    lead(main);
    toggles();
  }

  function clear(...said) {
    volume = null;
    views.forEach((view) => { view.element.hidden = true; });
    parts.toggles.replaceChildren();
    parts.bar.replaceChildren();
    parts.probe.textContent = "";
    parts.caption.replaceChildren(...said.filter(Boolean));
  }

  function look(place) {
    voxel = [...place.voxel];
    lead(place.axis);
  }

  // Make the plane across an axis the large one.
  function lead(axis) {
    main = Math.min(axis, image().planes.length - 1);
    views.forEach((view, one) => view.element.classList.toggle("main", one === main));
    bar();
    draw();
  }

  // -- where -----------------------------------------------------------------------------------
  function toVoxel(axis, row, column) {
    const plane = image().planes[axis];
    const found = [...voxel];
    found[plane.rows] = plane.flip_rows ? image().shape[plane.rows] - 1 - row : row;
    found[plane.columns] = plane.flip_columns ? image().shape[plane.columns] - 1 - column : column;
    return found;
  }

  function toPicture(axis, at) {
    const plane = image().planes[axis];
    return [
      plane.flip_rows ? image().shape[plane.rows] - 1 - at[plane.rows] : at[plane.rows],
      plane.flip_columns ? image().shape[plane.columns] - 1 - at[plane.columns] : at[plane.columns],
    ];
  }

  function go(to) {
    const next = to.map((value, axis) => Math.min(image().shape[axis] - 1, Math.max(0, value)));
    if (next.every((value, axis) => value === voxel[axis])) return;
    voxel = next;
    draw();
  }

  function step(count, axis = main) {
    if (!volume) return;
    const to = [...voxel];
    to[axis] += count;
    go(to);
  }

  // World mm of a voxel; null where nobody knows.
  function world(at) {
    const affine = image().affine;
    return affine && affine.slice(0, 3).map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]);
  }

  // -- drawing ---------------------------------------------------------------------------------
  const KINDS = ["image", "mask", "prediction", "doubt"];
  const there = (kind) => kind === "image" || (kind === "mask" ? image().mask : volume.prediction && volume.prediction[kind]);

  let asked = false;
  function draw() {
    if (asked || !volume) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      if (volume) image().planes.forEach((_, axis) => drawPlane(axis));
      marker();
    });
  }

  async function drawPlane(axis) {
    const [mine, k] = [source, voxel[axis]];
    const wanted = KINDS.filter(there);
    const ready = wanted.map((kind) => source.peek(kind, axis, k, channel));
    if (ready.every(Boolean)) {
      paint(axis, Object.fromEntries(wanted.map((kind, place) => [kind, ready[place]])));
      ahead(axis, k);
      return;
    }
    try {
      const found = await Promise.all(wanted.map((kind) => source.get(kind, axis, k, channel)));
      if (mine !== source || k !== voxel[axis] || !found[0]) return;
      paint(axis, Object.fromEntries(wanted.map((kind, place) => [kind, found[place]])));
      ahead(axis, k);
    } catch (error) {
      if (mine === source) parts.caption.textContent = `A slice did not come: ${error.message}`;
    }
  }

  // The slices on both sides are likely to be next.
  function ahead(axis, k) {
    if (axis !== main) return;
    if (image().whole) {
      for (const kind of KINDS.filter(there)) source.whole(kind, channel);
      return;
    }
    for (const next of [k + 1, k - 1, k + 2, k - 2]) {
      if (next >= 0 && next < image().shape[axis]) for (const kind of KINDS.filter(there)) source.get(kind, axis, next, channel).catch(() => {});
    }
  }

  function layers() {
    const most = Math.max(1, about.ignore || 0, ...classes.flatMap((one) => one.values));
    const hiddenValues = new Uint8Array(most + 1);
    const fills = new Int32Array(most + 1);
    for (const one of classes) {
      for (const value of one.values) {
        const hidden = hiddenClasses.has(one.name);
        if (hidden) hiddenValues[value] = 1;
        fills[value] = hidden ? 0 : outline.colour(one.mask, 0.55 * opacity);
      }
    }
    const all = shown.hidden;
    return {
      mask: shown.mask && !all, prediction: shown.prediction && !all, difference: shown.difference && !all, doubt: shown.doubt && !all,
      fill: shown.fill && !all, hidden: all, opacity, hiddenClasses, hiddenValues, fills, ignore: about.ignore,
      heat: outline.heat(0.7 * opacity),
      differences: DIFFERENCES.map((hex) => outline.colour(hex, 0.6 * opacity)),
      classes: classes.map((one) => ({ name: one.name, mask: one.mask, prediction: one.oof, inside: outline.table(one.values) })),
    };
  }

  function paint(axis, found) {
    const plane = image().planes[axis];
    const of = image().shape[axis];
    const where = of > 1 ? `slice ${voxel[axis] + 1} of ${of}` : "";
    const name = image().flat ? "" : plane.name;
    sliders[axis].value = voxel[axis];
    views[axis].draw({
      slice: found.image, mask: found.mask || null, prediction: found.prediction || null, doubt: found.doubt || null,
      window: grey.of(channel), spacing: plane.spacing_mm, letters: plane.letters, layers: layers(), voxels: shown.voxels,
      cross: shown.cross && !shown.hidden && image().planes.length > 1 ? toPicture(axis, voxel) : null,
      caption: [name ? `${name} ` : "", h("span", { class: "muted" }, where)],
      title: [name || "image", where].filter(Boolean).join(", "),
    });
    last[axis] = found;
    if (axis === main) clipped();
    drawnAt += 1;
    parts.planes.dataset.drawn = `${drawnAt}`;
    parts.planes.dataset.voxel = voxel.join(",");
  }
  const last = [{}, {}, {}];

  // -- what is under the pointer -----------------------------------------------------------------
  const classOf = (value) => classes.filter((one) => one.values.includes(value)).map((one) => one.name).join(" + ") || (value ? `label ${value}` : "background");

  function probe(axis, row, column) {
    const found = last[axis];
    if (row === null || !volume || !found.image) {
      parts.probe.textContent = "";
      return;
    }
    const at = toVoxel(axis, row, column);
    const place = row * found.image.columns + column;
    const mm = world(at);
    parts.probe.textContent = [
      `value ${number(found.image.data[place], 5)}`,
      found.mask ? `mask ${classOf(found.mask.data[place])}` : "",
      found.prediction ? `${about.prediction} ${classOf(found.prediction.data[place])}` : "",
      found.doubt ? `doubt here ${(found.doubt.data[place] / 255).toFixed(2)}` : "",
      `voxel ${(image().flat ? at.slice(1) : at).join(", ")}`,
      mm ? `R ${mm[0].toFixed(1)}, A ${mm[1].toFixed(1)}, S ${mm[2].toFixed(1)} mm` : "",
    ].filter(Boolean).join(" · ");
  }

  // -- window ------------------------------------------------------------------------------------
  function windowed(change) {
    change();
    const [low, high] = grey.of(channel);
    const [a, b, select] = [".low", ".high", ".preset"].map((kind) => parts.toggles.querySelector(kind));
    if (a) [a.value, b.value, select.value] = [Number(low.toPrecision(4)), Number(high.toPrecision(4)), grey.chosen(channel)];
    draw();
  }

  // How much of the large plane the window hides.
  function clipped() {
    const said = parts.toggles.querySelector(".clipped");
    if (!said || !last[main].image) return;
    const percent = (share) => (share === 0 ? "0" : share < 0.01 ? "< 1" : Math.round(100 * share));
    const [black, white] = outline.clipped(last[main].image.data, grey.of(channel)).map(percent);
    said.textContent = `${black}% black, ${white}% white`;
  }

  // -- controls ----------------------------------------------------------------------------------
  function toggles() {
    const box = (key, title, key_, kind) => h("label", { class: "toggle" }, h("input", {
      type: "checkbox", "data-toggle": key, checked: shown[key], onchange: (event) => set(key, event.target.checked),
    }), kind ? h("i", { class: kind }) : null, title, h("kbd", {}, key_));
    const end = (kind) => h("input", { type: "number", step: "any", class: kind, "aria-label": `Grey value that is ${kind === "low" ? "black" : "white"}`, onchange: () => {
      const [a, b] = [".low", ".high"].map((one) => Number(parts.toggles.querySelector(one).value));
      if (Number.isFinite(a) && Number.isFinite(b)) windowed(() => grey.set(channel, [a, b]));
    } });
    const list = [];
    if (image().mask) list.push(box("mask", "mask", "→", "line-mask"));
    if (there("prediction")) list.push(box("prediction", about.prediction, "←", "line-oof"));
    if (image().mask && there("prediction")) list.push(box("difference", "difference", "D"));
    if (there("doubt")) list.push(box("doubt", "where the doubt is", "H", "line-doubt"));
    if (image().mask || there("prediction")) {
      list.push(box("fill", "filled", "S"), h("label", {}, "opacity ", h("input", { type: "range", min: 0.1, max: 1, step: 0.1, value: opacity, class: "opacity", oninput: (event) => {
        opacity = Number(event.target.value);
        draw();
      } })));
    }
    if (image().planes.length > 1) list.push(box("cross", "cross-hair", "C"));
    list.push(box("close", "close-up", "Z"), box("voxels", "voxels", "V"));
    list.push(h("span", { class: "windowing" }, h("label", {}, "window ", h("select", { class: "preset", onchange: (event) => windowed(() => grey.choose(channel, Number(event.target.value))) },
      grey.presets(channel).map(([name], place) => h("option", { value: place }, name)))), end("low"), end("high"),
    h("span", { class: "clipped muted", title: "share of this slice at or beyond the ends of the window" })));
    if (image().channels > 1) {
      list.push(h("select", { "aria-label": "Channel", class: "channel", onchange: (event) => {
        channel = Number(event.target.value);
        toggles();
      } }, image().ranges.map((_, place) => h("option", { value: place, selected: place === channel }, about.channels[place] || `channel ${place + 1}`))));
    }
    if (image().planes.length > 1 && (image().mask || there("prediction"))) {
      list.push(h("button", { type: "button", class: "small", id: "solid-button", title: "in three dimensions", onclick: () => solid(volume, hiddenClasses, { channel, window: grey.of(channel) }) }, "3D ", h("kbd", {}, "T")));
    }
    if (classes.length > 1) list.push(h("span", { class: "classes", role: "group", "aria-label": "Classes" }, classes.map(chip)));
    parts.toggles.replaceChildren(...list);
    parts.toggles.classList.toggle("several", classes.length > 1);
    windowed(() => {});
    parts.caption.replaceChildren(...caption());
  }

  function caption() {
    const notes = [...image().notes, ...(volume.prediction ? volume.prediction.notes : [])];
    if (!volume.prediction && !volume.error) notes.push(`The ${about.prediction} is being read.`);
    if (volume.error) notes.push(volume.error);
    if (there("doubt") && shown.doubt) notes.push("Where the doubt is: transparent where nothing contradicts the mask, yellow where most does.");
    if (image().planes.some((plane) => plane.letters[0] === "R")) notes.push("The patient's right is on the left.");
    return [notes.join(" ")];
  }

  function chip(one) {
    const swatch = h("i");
    swatch.style.setProperty("--hue", one.mask);
    const button = h("button", { type: "button", class: "chip class", onclick: () => {
      if (!hiddenClasses.delete(one.name)) hiddenClasses.add(one.name);
      button.setAttribute("aria-pressed", String(!hiddenClasses.has(one.name)));
      draw();
    } }, swatch, one.name);
    button.setAttribute("aria-pressed", String(!hiddenClasses.has(one.name)));
    return button;
  }

  function set(key, on = !shown[key]) {
    shown[key] = on;
    const box = parts.toggles.querySelector(`[data-toggle=${key}]`);
    if (box) box.checked = on;
    parts.caption.replaceChildren(...caption());
    if (key === "close") closeUp();
    draw();
  }

  // Each plane on what is marked in it, with room around.
  function closeUp() {
    views.forEach((view, axis) => {
      const { mask, prediction } = last[axis];
      let box = null;
      if (shown.close) for (const one of [mask, prediction]) box = one ? bounds(one, box) : box;
      if (box) {
        const room = Math.max(4, 0.25 * Math.max(box[2] - box[0], box[3] - box[1]));
        box = [box[0] - room, box[1] - room, box[2] - box[0] + 2 * room, box[3] - box[1] + 2 * room];
      }
      view.closeUp(box);
    });
  }

  // [first row, first column, last row, last column] of what is marked.
  function bounds({ data, rows, columns }, found) {
    let [top, left, bottom, right] = found || [Infinity, Infinity, -1, -1];
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        if (!data[row * columns + column]) continue;
        [top, bottom] = [Math.min(top, row), Math.max(bottom, row + 1)];
        [left, right] = [Math.min(left, column), Math.max(right, column + 1)];
      }
    }
    return bottom < 0 ? found : [top, left, bottom, right];
  }

  // -- the bar of slices: how much differs in each -------------------------------------------------
  function bar() {
    const profile = (volume.prediction && volume.prediction.profile) || image().profile;
    const counts = profile ? profile[main] : null;
    parts.bar.hidden = !counts || image().shape[main] < 2;
    if (parts.bar.hidden) return;
    const most = Math.max(1, ...counts);
    const bars = ALEASEG.svg("svg", { viewBox: `0 0 ${counts.length} 1`, preserveAspectRatio: "none", role: "img", "aria-label": barTitle() },
      ALEASEG.svg("path", { d: counts.map((count, k) => (count ? `M${k} 1v${(-count / most).toFixed(3)}h1V1z` : "")).join("") }));
    const mark = h("i");
    bars.addEventListener("click", (event) => {
      const box = bars.getBoundingClientRect();
      const to = [...voxel];
      to[main] = Math.floor(((event.clientX - box.left) / box.width) * counts.length);
      go(to);
    });
    parts.bar.replaceChildren(h("span", { class: "muted" }, barTitle()), h("div", { class: "bars" }, bars, mark));
    marker();
  }
  const barTitle = () => (volume.prediction && volume.prediction.profile
    ? `voxels in which mask and ${about.prediction} differ, by slice` : "voxels of the mask, by slice");

  function marker() {
    const mark = parts.bar.querySelector("i");
    if (mark && volume) mark.style.left = `${(100 * (voxel[main] + 0.5)) / image().shape[main]}%`;
  }

  // -- keys ----------------------------------------------------------------------------------------
  function key(event) {
    if (!volume) return false;
    const many = event.shiftKey ? 10 : 1;
    const does = {
      ArrowUp: () => step(-many), ArrowDown: () => step(many), PageUp: () => step(-10), PageDown: () => step(10),
      ArrowLeft: () => set("prediction"), ArrowRight: () => set("mask"),
      c: () => set("cross"), z: () => set("close"), v: () => set("voxels"), d: () => set("difference"), h: () => set("doubt"), s: () => set("fill"),
      w: () => windowed(() => grey.next(channel)), "+": () => views[main].zoom(1.25), "-": () => views[main].zoom(0.8),
      t: () => { const button = parts.toggles.querySelector("#solid-button"); if (button) button.click(); },
      x: () => lead((main + 1) % image().planes.length),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!does) return false;
    does();
    return true;
  }

  return {
    show, clear, look, go, key,
    hide: (on) => { if (shown.hidden !== on) { shown.hidden = on; draw(); } },
    ready: () => volume !== null,
  };
};
