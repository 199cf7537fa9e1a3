// Planes of a case with its outlines, and what is shown or hidden on them.
"use strict";

// `parts`: the elements heading, toggles, planes, caption. `classes`: [{name, mask, oof}], a colour for each.
ALEASEG.viewer = (parts, classes, predictionName) => {
  const { h, svg, number } = ALEASEG;
  const shown = { mask: true, oof: true, doubt: false, unsure: false, cross: false, close: false, voxels: false, channel: 0, hidden: new Set() };
  const colours = Object.fromEntries(classes.map((one) => [one.name, one]));
  const NAMES = { mask: "mask", oof: predictionName };
  let pictures = null;
  let id = "";
  let first = 0; // which of all planes stands first

  const WHY = {
    disagreement: `through the place where mask and ${predictionName} disagree most`,
    mask: "through the thickest part of the mask",
    prediction: `through the thickest part of the ${predictionName}; there is no mask`,
    middle: "through the middle: there is neither mask nor prediction",
  };

  function show(found, case_) {
    [pictures, id, first] = [found, case_, 0];
    if (pictures.error) {
      parts.planes.replaceChildren(h("p", { class: "note bad" }, `No pictures: ${pictures.error}`));
      return;
    }
    const many = pictures.planes.length > 1;
    parts.heading.textContent = many ? "The plane that shows it, and two others" : "The image";
    parts.toggles.replaceChildren(...toggles());
    parts.toggles.classList.toggle("several", classes.length > 1);
    const why = WHY[pictures.places[0].reason] || "through the place of the first reason";
    parts.caption.textContent = [
      many ? `Planes ${why}.` : "", ...(pictures.notes || []),
      `Black to white: ${pictures.windows.map(([low, high]) => `${number(low)} to ${number(high)}`).join("; ")}.`,
      has("doubt") ? "Doubt of the mask, voxel by voxel: transparent where nothing contradicts it, yellow where a sure prediction or an unusual border does." : "",
      has("unsure") ? "Annotators unsure: 4 q (1 − q), clear where all agree, yellow where they are of two minds." : "",
      pictures.planes.some((plane) => plane.letters[0] === "R") ? "The patient's right is on the left." : "",
    ].filter(Boolean).join(" ");
    draw();
  }

  // Put a plane (counted over `planes` and `others`) first; it takes the place of the one across the same axis.
  function look(number_) {
    first = number_;
    draw();
    parts.planes.scrollIntoView({ block: "nearest" });
  }

  function chosen() {
    const all = [...pictures.planes, ...pictures.others];
    const main = all[Math.min(first, all.length - 1)];
    return [main, ...pictures.planes.filter((plane) => plane.axis !== main.axis)];
  }

  function draw() {
    const planes = chosen();
    const views = planes.map(whole);
    const [main, ...others] = planes.map((plane, place) => picture(plane, views[place]));
    parts.planes.replaceChildren(main, ...arrange(others, views));
  }

  // One scale for all planes: widths go with mm, and the tallest still fits the screen. Low
  // planes (few slices) stand one above the other beside the first, the others in one row.
  function arrange(others, views) {
    const [widths, heights] = [views.map((one) => one[0]), views.map((one) => one[1])];
    const sum = (list) => list.reduce((all, value) => all + value, 0);
    const low = others.length > 1 && sum(heights.slice(1)) <= 1.25 * heights[0];
    const across = low ? widths[0] + Math.max(...widths.slice(1)) : sum(widths);
    const down = low ? Math.max(heights[0], sum(heights.slice(1))) : Math.max(...heights);
    parts.planes.style.setProperty("--wide", across / down);
    if (!low) return others;
    const widest = Math.max(...widths.slice(1));
    others.forEach((figure, place) => { figure.style.width = `${(100 * widths[place + 1]) / widest}%`; });
    const column = h("div", { class: "column" }, others);
    column.style.flexGrow = widest;
    return [column];
  }

  const has = (key) => pictures.planes.some((plane) => plane[key]);

  function toggles() {
    const box = (key, title, kind, keyName) => h("label", { class: "toggle" },
      h("input", { type: "checkbox", "data-toggle": key, checked: shown[key], onchange: (event) => {
        shown[key] = event.target.checked;
        draw();
      } }), kind ? h("i", { class: kind }) : null, title, keyName ? h("kbd", {}, keyName) : null);
    const list = [];
    for (const [key, key_] of [["mask", "m"], ["oof", "p"]]) if (has(key)) list.push(box(key, NAMES[key], `line-${key}`, key_));
    if (has("doubt")) list.push(box("doubt", "where the doubt is", "line-doubt", "d"));
    if (has("unsure")) list.push(box("unsure", "annotators unsure", "line-unsure", "u"));
    if (pictures.planes.length > 1) list.push(box("cross", "cross-hairs", "", "c"));
    if (pictures.planes.some((plane) => plane.focus.length)) list.push(box("close", "close-up", "", "z"));
    list.push(box("voxels", "voxels", "", "v"));
    const names = Object.keys(pictures.planes[0].mask || pictures.planes[0].oof || {});
    if (names.length > 1) list.push(h("span", { class: "classes", role: "group", "aria-label": "Classes" }, names.map(chip)));
    const channels = pictures.planes[0].images.length;
    if (channels > 1) {
      list.push(h("select", { "aria-label": "Channel", onchange: (event) => {
        shown.channel = Number(event.target.value);
        draw();
      } }, Array.from({ length: channels }, (_, place) => h("option", { value: place, selected: place === shown.channel }, `channel ${place + 1}`))));
    }
    return list;
  }

  // A class in its colour, to take away and bring back.
  function chip(name) {
    const swatch = h("i");
    swatch.style.setProperty("--hue", colours[name] ? colours[name].mask : "var(--mask)");
    const button = h("button", { type: "button", class: "chip class", onclick: () => {
      if (!shown.hidden.delete(name)) shown.hidden.add(name);
      button.setAttribute("aria-pressed", String(!shown.hidden.has(name)));
      draw();
    } }, swatch, name);
    button.setAttribute("aria-pressed", String(!shown.hidden.has(name)));
    return button;
  }

  // Width and height of a plane in mm.
  const whole = (plane) => [plane.size[0] * plane.voxel_mm[0], plane.size[1] * plane.voxel_mm[1]];

  // What part of a plane is shown, in mm: x, y, width, height. A close-up fills the same room as the whole.
  function view(plane) {
    const [dx, dy] = plane.voxel_mm;
    const [width, height] = whole(plane);
    if (!shown.close || !plane.focus.length) return [0, 0, width, height];
    const [x, y, w, h_] = [plane.focus[0] * dx, plane.focus[1] * dy, plane.focus[2] * dx, plane.focus[3] * dy];
    const share = Math.min(1, Math.max(w / width, h_ / height));
    const [wide, high] = [width * share, height * share];
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    return [clamp(x + w / 2 - wide / 2, width - wide), clamp(y + h_ / 2 - high / 2, height - high), wide, high];
  }

  function picture(plane, [fullWidth, fullHeight]) {
    const [x, y, width, height] = view(plane);
    const [dx, dy] = plane.voxel_mm;
    const image = plane.images[Math.min(shown.channel, plane.images.length - 1)];
    const where = plane.of > 1 ? `slice ${plane.index + 1} of ${plane.of}` : "";
    const missing = ["mask", "oof"].filter((kind) => plane[kind] && !Object.values(plane[kind]).some(Boolean)).map((kind) => `no ${NAMES[kind]} in this slice`);
    const root = svg("svg", {
      viewBox: `${x} ${y} ${width} ${height}`, role: "img",
      "aria-label": [id, plane.name || "image", where, ...missing].filter(Boolean).join(", "),
    });
    root.append(svg("image", { href: image, width: fullWidth, height: fullHeight, preserveAspectRatio: "none", class: shown.voxels ? "voxels" : null }));
    for (const name of ["unsure", "doubt"].filter((each) => plane[each] && shown[each])) {
      root.append(svg("image", { href: plane[name], width: fullWidth, height: fullHeight, preserveAspectRatio: "none", class: shown.voxels ? `${name} voxels` : name }));
    }
    // Paths count half voxels. All halos first: none may lie on another class's line.
    const lines = svg("g", { transform: `scale(${dx / 2} ${dy / 2})`, class: "outlines" });
    const drawn = ["mask", "oof"].filter((kind) => plane[kind] && shown[kind]).flatMap((kind) =>
      Object.entries(plane[kind]).filter(([name, path]) => path && !shown.hidden.has(name)).map(([name, path]) => [kind, name, path]));
    for (const [, , path] of drawn) lines.append(svg("path", { d: path, class: "halo" }));
    for (const [kind, name, path] of drawn) {
      lines.append(svg("path", { d: path, class: kind, "data-class": name, stroke: colours[name] ? colours[name][kind] : `var(--${kind})` }));
    }
    root.append(lines);
    if (shown.cross) {
      const [cx, cy] = [(plane.cross[0] + 0.5) * dx, (plane.cross[1] + 0.5) * dy];
      root.append(svg("path", { d: `M${cx} 0V${fullHeight}M0 ${cy}H${fullWidth}`, class: "cross" }));
    }
    const letters = plane.letters.map((letter, side) => (letter ? h("b", { class: `letter at-${["left", "right", "top", "bottom"][side]}` }, letter) : null));
    const figure = h("figure", {}, h("div", { class: "picture" }, root, letters),
      h("figcaption", {}, plane.name ? `${plane.name} ` : "", h("span", { class: "muted" }, [where, ...missing].filter(Boolean).join("; "))));
    figure.style.flexGrow = fullWidth;
    return figure;
  }

  const KEYS = { m: "mask", p: "oof", d: "doubt", u: "unsure", c: "cross", z: "close", v: "voxels" };
  function key(name) {
    const box = KEYS[name] && parts.toggles.querySelector(`[data-toggle=${KEYS[name]}]`);
    if (box) box.click();
  }

  return { show, look, key };
};
