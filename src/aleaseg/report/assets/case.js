// The page of a case: case.html#<hash>, or ?id=<its id>; behind a ? in the hash the order that the reader came with.
"use strict";

(async () => {
  const { h, number, score, meter } = ALEASEG;
  const byId = (id) => document.getElementById(id);
  const index = await ALEASEG.files.index();
  const one = ALEASEG.table(index);
  const flags = ALEASEG.flags(one);
  const queue = ALEASEG.queue(one, flags.has);
  const viewer = ALEASEG.viewer({
    heading: byId("h-planes"), toggles: byId("toggles"), planes: byId("planes"), caption: byId("planes-caption"),
  }, index.classes, index.prediction);
  let row = -1;
  let asked = ""; // the order and the filter, as the queue writes them
  let rows = [];

  function wanted() {
    const [hash, order = ""] = location.hash.slice(1).split("?");
    const id = hash || new URLSearchParams(location.search).get("id") || "";
    if (order !== asked || !rows.length) {
      asked = order;
      queue.read(asked);
      rows = queue.rows();
    }
    const at = index.hash.indexOf(id);
    const found = at >= 0 ? at : index.case.indexOf(decode(id));
    // A case that the filter does not have is seen among all.
    if (found >= 0 && !rows.includes(found)) {
      queue.set({ search: "", show: "all", ranges: {} });
      rows = queue.rows();
    }
    return found;
  }

  function decode(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  }

  function go(step) {
    const next = rows[rows.indexOf(row) + step];
    if (next !== undefined) location.hash = index.hash[next] + (asked ? `?${asked}` : "");
  }

  function place() {
    const at = rows.indexOf(row);
    const { state } = queue;
    const order = state.sort === "case" ? "id" : one.title(state.sort).toLowerCase();
    byId("previous").disabled = at <= 0;
    byId("next").disabled = at < 0 || at >= rows.length - 1;
    byId("place").textContent = at < 0 ? "" : `${(at + 1).toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
    byId("order").textContent = at < 0 ? "" : `by ${order}${queue.narrowed() ? ", filtered" : ""}`;
    for (const link of document.querySelectorAll("a[href^='index.html']")) link.href = `index.html${asked ? `#${asked}` : ""}`;
  }

  async function show() {
    row = wanted();
    place();
    if (row < 0) {
      byId("case-id").textContent = "No such case";
      byId("verdict").replaceChildren(h("p", { class: "note" }, "There is no such case in this run. ", h("a", { href: "index.html" }, "All cases")));
      return;
    }
    const id = index.case[row];
    const hash = index.hash[row];
    document.title = `${id} · aleaseg`;
    byId("case-id").textContent = id;
    for (const name of ["planes", "classes", "statistics", "facts", "toggles"]) byId(name).replaceChildren();
    byId("planes-caption").textContent = "";
    showFlag();
    slices(hash);
    const here = row;
    const still = () => here === row; // the reader may have gone on meanwhile
    let data = null;
    try {
      data = await one.source.case(hash);
      if (still()) numbers(data);
    } catch (error) {
      byId("verdict").replaceChildren(h("p", { class: "note" }, error.message));
    }
    const none = () => byId("planes").replaceChildren(h("p", { class: "note" }, one.failed(row)
      ? "No pictures: the case could not be measured." : "No pictures: the images were not there when the page was written."));
    if (!index.pictures[row]) none();
    else {
      try {
        const pictures = await one.source.pictures(hash);
        if (still()) {
          viewer.show(pictures, id);
          if (data) link(data.reasons, pictures);
        }
      } catch {
        if (still()) none();
      }
    }
    document.body.dataset.ready = hash;
  }

  // All slices at once, in the window of the planes or in one that shows what lies in the air.
  function slices(hash) {
    const section = byId("slices");
    section.hidden = !index.mosaic[row];
    if (section.hidden) return;
    const show = (background) => byId("mosaic").replaceChildren(h("img", {
      src: one.source.mosaic(hash, background), alt: `All slices of ${index.case[row]}${background ? ", the background made visible" : ""}`,
    }));
    byId("mosaic-chips").replaceChildren();
    ALEASEG.chips({ usual: "usual window", background: "background made visible" }, "usual", (which) => show(which === "background"), byId("mosaic-chips"));
    show(false);
  }

  // -- numbers -------------------------------------------------------------------------------
  // A line from the lowest to the highest case, the median in the middle, this case as a mark.
  function standing(share, far) {
    if (share === null || share === undefined) return h("span", { class: "muted" }, "–");
    const percent = Math.round(100 * share);
    const mark = h("i");
    mark.style.left = `${100 * share}%`;
    return h("span", { class: `standing ${far ? "far" : ""}`, role: "img", "aria-label": `above ${percent}% of the cases${far ? ", far out" : ""}` },
      h("span", { class: "track" }, mark), h("span", { class: "value" }, `${percent}%`));
  }
  const far = (z) => z !== null && z !== undefined && Math.abs(z) >= 3;

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
      ? h("ul", { class: "reasons" }, data.reasons.map((reason) => h("li", { class: `is-${reason.axis}` },
        h("b", { class: "axis" }, reason.axis), " ", h("span", { class: "sentence" }, reason.sentence),
        reason.detail ? h("small", { title: index.z }, ` ${reason.detail.replace("-", "−")}`) : null)))
      : h("p", { class: "muted" }, data.error ? "" : "Nothing stands out."));
    classes(data.classes);
    statistics(data.statistics);
    facts(data);
  }

  // Each reason goes to the plane that shows it.
  function link(reasons, pictures) {
    if (pictures.error || pictures.planes.length < 2) return;
    document.querySelectorAll("#verdict .sentence").forEach((sentence, k) => {
      const found = pictures.places[k];
      if (!found || found.reason !== reasons[k].code) return;
      sentence.replaceWith(h("button", { type: "button", class: "sentence", title: "show it", onclick: () => viewer.look(found.plane) }, sentence.textContent));
    });
  }

  function rowsOf(entries) {
    return entries.map((entry) => h("tr", {},
      h("th", { scope: "row" }, one.title(entry.name)),
      h("td", { class: "number" }, one.format(entry.name, entry.value)),
      h("td", { class: "number muted" }, one.format(entry.name, entry.median)),
      h("td", {}, standing(entry.standing, far(entry.z))),
      h("td", { class: "number" }, entry.z === null ? "" : h("span", { class: far(entry.z) ? "strong" : "muted" }, number(Number(entry.z.toFixed(1))))),
      h("td", { class: "muted" }, one.direction(entry.name))));
  }

  // The scores, and of the statistics of the image what stands out; the rest is folded away.
  function statistics(list) {
    const scores = list.filter((entry) => entry.z === null);
    const odd = list.filter((entry) => far(entry.z));
    const rest = list.filter((entry) => entry.z !== null && !far(entry.z));
    const body = h("tbody", {}, rowsOf([...scores, ...odd]));
    const folded = h("tbody", { hidden: true }, rowsOf(rest));
    const more = h("button", { type: "button", class: "more", "aria-expanded": "false", onclick: () => {
      folded.hidden = !folded.hidden;
      more.setAttribute("aria-expanded", String(!folded.hidden));
    } }, `${rest.length} statistics of the image that do not stand out`);
    byId("statistics").append(
      h("thead", {}, h("tr", {}, h("td"), ["Value", "Median", "Stands above", "Robust z", "Direction"].map((title) => h("th", { scope: "col", title: title.endsWith(" z") ? index.z : null }, title)))),
      body, folded);
    byId("statistics-more").replaceChildren(...(rest.length ? [more] : []));
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
          h("td", {}, standing(entry.standing[name], far(entry.z[name])))])))));
  }

  // What the model itself believes: a slice with a score above 0 has the object.
  const seen = (scores) => scores ? `, believed there on ${scores.filter((score_) => score_ > 0).length} of ${scores.length} slices` : "";

  function facts(data) {
    const add = (title, ...values) => byId("facts").append(h("dt", {}, title), ...values.map((value) => h("dd", {}, value)));
    if (data.files.length) {
      add("Files", ...data.files.map((file) => h("code", {}, file)));
      byId("facts").append(h("dd", {}, ALEASEG.copier("copy the paths", () => data.files.map((file) => `${file}\n`).join(""))));
    }
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

  // -- flag, keys ----------------------------------------------------------------------------
  function showFlag() {
    byId("flag").setAttribute("aria-pressed", String(row >= 0 && flags.has(row)));
    byId("flagged-count").textContent = flags.ids().length ? `${flags.ids().length} flagged` : "";
  }
  byId("flag").addEventListener("click", () => { if (row >= 0) flags.toggle(row); });
  flags.on(showFlag);

  addEventListener("keydown", (event) => {
    if (ALEASEG.typing(event)) return;
    const sideways = event.target.closest(".scroll");
    if ((event.key === "ArrowLeft" && !sideways) || event.key === "k") go(-1);
    else if ((event.key === "ArrowRight" && !sideways) || event.key === "j") go(1);
    else if (event.key === "f") byId("flag").click();
    else viewer.key(event.key);
  });
  byId("previous").addEventListener("click", () => go(-1));
  byId("next").addEventListener("click", () => go(1));
  addEventListener("hashchange", show);
  show();
})();
