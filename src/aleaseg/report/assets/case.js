// The case page: case.html#<hash>, its numbers from cases/<hash>.js, its pictures from pictures/<hash>.js.
"use strict";

(async () => {
  const { h, svg, number, score, meter } = ALEASEG;
  const byId = (id) => document.getElementById(id);
  const index = await ALEASEG.get("index", "", "data/index.js");
  const one = ALEASEG.table(index);
  const shown = { mask: true, oof: true, cross: false, close: false, voxels: false, channel: 0, hidden: new Set() };
  let row = -1;

  function wanted() {
    const asked = location.hash.slice(1) || new URLSearchParams(location.search).get("id") || "";
    return index.hash.indexOf(asked);
  }

  function go(step) {
    const next = row + step;
    if (next >= 0 && next < one.count) location.hash = index.hash[next];
  }

  async function show() {
    row = wanted();
    byId("previous").disabled = row <= 0;
    byId("next").disabled = row < 0 || row >= one.count - 1;
    if (row < 0) {
      byId("case-id").textContent = "No such case";
      byId("verdict").replaceChildren(h("p", { class: "note" }, "The address names no case of this run. ", h("a", { href: "index.html" }, "All cases")));
      return;
    }
    const id = index.case[row];
    const hash = index.hash[row];
    document.title = `${id} · aleaseg`;
    byId("case-id").textContent = id;
    byId("place").textContent = `${(row + 1).toLocaleString("en")} of ${one.count.toLocaleString("en")}`;
    for (const name of ["planes", "classes", "statistics", "facts", "toggles"]) byId(name).replaceChildren();
    byId("planes-caption").textContent = "";
    const here = row;
    const still = () => here === row; // the reader may have gone on meanwhile
    try {
      const data = await ALEASEG.get("case", hash, `cases/${hash}.js`);
      if (still()) numbers(data);
    } catch (error) {
      byId("verdict").replaceChildren(h("p", { class: "note" }, error.message));
    }
    try {
      const pictures = await ALEASEG.get("pictures", hash, `pictures/${hash}.js`);
      if (still()) planes(pictures, id);
    } catch {
      if (still()) byId("planes").replaceChildren(h("p", { class: "note" }, "No pictures: the images were not there when the page was written."));
    }
    document.body.dataset.ready = hash;
  }

  // -- numbers -------------------------------------------------------------------------------
  // A line from the lowest to the highest case, the median in the middle, this case as a mark.
  function standing(share) {
    if (share === null || share === undefined) return h("span", { class: "muted" }, "–");
    const percent = Math.round(100 * share);
    const mark = h("i");
    mark.style.left = `${100 * share}%`;
    return h("span", { class: `standing ${share > 0.975 || share < 0.025 ? "far" : ""}`, role: "img", "aria-label": `above ${percent}% of the cases` },
      h("span", { class: "track" }, mark), h("span", { class: "value" }, `${percent}%`));
  }

  function numbers(data) {
    const verdict = byId("verdict");
    verdict.replaceChildren();
    if (data.error) verdict.append(h("p", { class: "note bad" }, data.error));
    if (one.has("doubt") && one.value("doubt", row) !== null) {
      verdict.append(h("div", { class: "meters" }, [["label", "Label doubt"], ["image", "Image doubt"]].map(([name, title]) => [
        h("span", {}, title), meter(name, title, one.value(`${name}_doubt`, row)),
        h("span", { class: "value" }, score(one.value(`${name}_doubt`, row)))])));
    }
    verdict.append(data.reasons.length
      ? h("ul", { class: "reasons" }, data.reasons.map((reason) => h("li", { title: reason.detail || null }, reason.sentence)))
      : h("p", { class: "muted" }, data.error ? "" : "Nothing stands out."));
    classes(data.classes);
    byId("statistics").append(
      h("thead", {}, h("tr", {}, ["", "Value", "Median", "Stands above", "Direction"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, data.statistics.map((entry) => h("tr", {},
        h("th", { scope: "row" }, one.title(entry.name)),
        h("td", { class: "number" }, one.format(entry.name, entry.value)),
        h("td", { class: "number muted" }, one.format(entry.name, entry.median)),
        h("td", {}, standing(entry.standing)),
        h("td", { class: "muted" }, one.direction(entry.name))))));
    facts(data);
  }

  function classes(list) {
    if (!list.length) {
      byId("classes").append(h("caption", { class: "note" }, "No class was scored in this case."));
      return;
    }
    const names = Object.keys(list[0].values).filter((name) => list.some((entry) => entry.values[name] !== null && entry.values[name] !== undefined));
    byId("classes").append(
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Class"), h("th", { scope: "col" }, "In the mask"),
        names.map((name) => h("th", { scope: "col", colspan: 2 }, one.withUnit(name))))),
      h("tbody", {}, list.map((entry) => h("tr", {}, h("th", { scope: "row" }, entry.class),
        h("td", {}, entry.present === null ? "–" : entry.present ? "yes" : "no", entry.status && entry.status !== "ok" ? h("small", { class: "muted" }, ` ${entry.status.replaceAll("_", " ")}`) : null),
        names.map((name) => [
          h("td", { class: "number" }, name === "volume_mm3" ? number(entry.values[name]) : score(entry.values[name])),
          h("td", {}, standing(entry.standing[name]))])))));
  }

  // What the model itself believes: a slice with a score above 0 has the object.
  const seen = (scores) => scores ? `, believed there on ${scores.filter((score) => score > 0).length} of ${scores.length} slices` : "";

  function facts(data) {
    const add = (title, ...values) => byId("facts").append(h("dt", {}, title), ...values.map((value) => h("dd", {}, value)));
    if (data.files.length) add("Files", ...data.files.map((file) => h("code", {}, file)));
    if (data.shape.length) add("Shape", data.shape.join(" × "));
    if (data.spacing_mm.length) add("Spacing", `${data.spacing_mm.map((value) => number(value)).join(" × ")} mm`);
    if (data.group && data.group !== data.case) add("Group", data.group);
    if (data.site) add("Site", data.site);
    const maps = Object.entries(data.class_maps);
    if (maps.length) {
      add("Class maps for S", ...maps.slice(0, 12).map(([name, map]) =>
        `${name}: ${map.kind || "?"} from ${map.source || "?"}, grid ${(map.grid || []).join(" × ")}, prompt ${(map.prompt || "none").replaceAll("_", " ")}${seen(map.presence)}`));
    }
  }

  // -- pictures ------------------------------------------------------------------------------
  const WHY = {
    disagreement: "Planes through the place where mask and prediction disagree most.",
    mask: "Planes through the thickest part of the mask.",
    prediction: "Planes through the thickest part of the prediction; there is no mask.",
    middle: "Planes through the middle: there is neither mask nor prediction.",
  };

  function planes(pictures, id) {
    if (pictures.error) {
      byId("planes").replaceChildren(h("p", { class: "note bad" }, `No pictures: ${pictures.error}`));
      return;
    }
    byId("h-planes").textContent = pictures.planes.length > 1 ? "Three planes through the most telling voxel" : "The image";
    const draw = () => {
      const views = pictures.planes.map((plane) => view(plane));
      const [first, ...others] = pictures.planes.map((plane, place) => picture(plane, views[place], id));
      byId("planes").replaceChildren(first, ...arrange(others, views));
    };
    byId("toggles").replaceChildren(...toggles(pictures, draw));
    byId("planes-caption").textContent = [
      pictures.planes.length > 1 ? WHY[pictures.places[0].reason] || "Planes through the place of the first reason; the first of them shows it best." : "", ...(pictures.notes || []),
      `Black to white: ${pictures.windows.map(([low, high]) => `${number(low)} to ${number(high)}`).join("; ")}.`,
      pictures.planes[0].letters[0] === "R" ? "The patient's right is on the left." : "",
    ].filter(Boolean).join(" ");
    draw();
  }

  // One scale for all planes: widths go with mm, and the tallest still fits the screen. Low
  // planes (few slices) stand one above the other beside the first, the others in one row.
  function arrange(others, views) {
    const [widths, heights] = [views.map((one) => one[2]), views.map((one) => one[3])];
    const sum = (list) => list.reduce((all, value) => all + value, 0);
    const low = others.length > 1 && sum(heights.slice(1)) <= 1.25 * heights[0];
    const across = low ? widths[0] + Math.max(...widths.slice(1)) : sum(widths);
    const down = low ? Math.max(heights[0], sum(heights.slice(1))) : Math.max(...heights);
    byId("planes").style.setProperty("--wide", across / down);
    if (!low) return others;
    const widest = Math.max(...widths.slice(1));
    others.forEach((figure, place) => { figure.style.width = `${(100 * widths[place + 1]) / widest}%`; });
    const column = h("div", { class: "column" }, others);
    column.style.flexGrow = widest;
    return [column];
  }

  function toggles(pictures, draw) {
    const first = pictures.planes[0];
    const box = (key, title, kind, keyName) => h("label", { class: "toggle" },
      h("input", { type: "checkbox", "data-toggle": key, checked: shown[key], onchange: (event) => {
        shown[key] = event.target.checked;
        draw();
      } }), kind ? h("i", { class: kind }) : null, title, keyName ? h("kbd", {}, keyName) : null);
    const list = [];
    if (first.mask) list.push(box("mask", "mask", "line-mask", "m"));
    if (first.oof) list.push(box("oof", "prediction", "line-oof", "p"));
    if (pictures.planes.length > 1) list.push(box("cross", "cross-hairs", "", "c"));
    if (pictures.planes.some((plane) => plane.focus.length)) list.push(box("close", "close-up", "", "z"));
    list.push(box("voxels", "voxels", "", "v"));
    const names = Object.keys(first.mask || first.oof || {});
    if (names.length > 1) {
      const choice = h("select", { "aria-label": "Class", onchange: (event) => {
        shown.hidden = new Set(event.target.value === "" ? [] : names.filter((name) => name !== event.target.value));
        draw();
      } }, h("option", { value: "" }, "all classes"), names.map((name) => h("option", { value: name, selected: shown.hidden.size > 0 && !shown.hidden.has(name) }, name)));
      list.push(choice);
    }
    if (first.images.length > 1) {
      list.push(h("select", { "aria-label": "Channel", onchange: (event) => {
        shown.channel = Number(event.target.value);
        draw();
      } }, first.images.map((_, place) => h("option", { value: place, selected: place === shown.channel }, `channel ${place + 1}`))));
    }
    return list;
  }

  // What part of a plane is shown, in mm: x, y, width, height.
  function view(plane) {
    const [dx, dy] = plane.voxel_mm;
    const [x, y, width, height] = shown.close && plane.focus.length ? plane.focus : [0, 0, ...plane.size];
    return [x * dx, y * dy, width * dx, height * dy];
  }

  function picture(plane, [x, y, width, height], id) {
    const [columns, rows] = plane.size;
    const [dx, dy] = plane.voxel_mm;
    const image = plane.images[Math.min(shown.channel, plane.images.length - 1)];
    const root = svg("svg", {
      viewBox: `${x} ${y} ${width} ${height}`, role: "img",
      "aria-label": `${id}, ${plane.name || "image"}${plane.of > 1 ? `, slice ${plane.index + 1} of ${plane.of}` : ""}`,
    });
    root.append(svg("image", { href: image, width: columns * dx, height: rows * dy, preserveAspectRatio: "none", class: shown.voxels ? "voxels" : null }));
    // Paths count half voxels.
    const lines = svg("g", { transform: `scale(${dx / 2} ${dy / 2})`, class: "outlines" });
    for (const kind of ["mask", "oof"]) {
      if (!plane[kind] || !shown[kind]) continue;
      for (const [name, path] of Object.entries(plane[kind])) {
        if (!path || shown.hidden.has(name)) continue;
        lines.append(svg("path", { d: path, class: "halo" }), svg("path", { d: path, class: kind, "data-class": name }));
      }
    }
    root.append(lines);
    if (shown.cross) {
      const [cx, cy] = [(plane.cross[0] + 0.5) * dx, (plane.cross[1] + 0.5) * dy];
      root.append(svg("path", { d: `M${cx} 0V${rows * dy}M0 ${cy}H${columns * dx}`, class: "cross" }));
    }
    const letters = plane.letters.map((letter, side) => (letter ? h("b", { class: `letter ${["left", "right", "top", "bottom"][side]}` }, letter) : null));
    const figure = h("figure", {}, h("div", { class: "picture" }, root, letters),
      h("figcaption", {}, plane.name ? `${plane.name} ` : "", plane.of > 1 ? h("span", { class: "muted" }, `slice ${plane.index + 1} of ${plane.of}`) : null));
    figure.style.flexGrow = width;
    return figure;
  }

  const KEYS = { m: "mask", p: "oof", c: "cross", z: "close", v: "voxels" };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=checkbox]), select, textarea")) return;
    if (event.key === "ArrowLeft" && !event.target.closest(".scroll")) go(-1);
    else if (event.key === "ArrowRight" && !event.target.closest(".scroll")) go(1);
    else if (KEYS[event.key]) {
      const box = document.querySelector(`[data-toggle=${KEYS[event.key]}]`);
      if (box) box.click();
    }
  });
  byId("previous").addEventListener("click", () => go(-1));
  byId("next").addEventListener("click", () => go(1));
  addEventListener("hashchange", show);
  show();
})();
