// The group page.
"use strict";

(async () => {
  const { h, meter, thumb, score, number, plots } = ALEASEG;
  const data = await ALEASEG.get("index", "", "data/index.js");
  const one = ALEASEG.table(data);
  const all = [...Array(one.count).keys()];
  const byId = (id) => document.getElementById(id);
  const open = (row) => { location.href = one.link(row); };

  // -- the case under the pointer ------------------------------------------------------------
  const tip = byId("tip");
  function hover(row, event) {
    const lines = ["doubt", "image_doubt", "label_doubt", "auv", "oof_dice"].filter(one.has)
      .map((name) => h("tr", {}, h("th", {}, one.title(name)), h("td", {}, one.format(name, one.value(name, row)))));
    tip.replaceChildren(thumb(one, row, 110), h("div", {}, h("strong", {}, data.case[row]), h("table", {}, lines)));
    tip.hidden = false;
    const left = Math.min(event.clientX + 16, innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 16 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below ? event.clientY + 16 : event.clientY - 16 - tip.offsetHeight}px`;
  }
  const leave = () => { tip.hidden = true; };
  const rows = { hover, leave, open };

  // -- suspects ------------------------------------------------------------------------------
  const STEP = 12;
  let limit = STEP;
  let axis = "all";
  const doubtful = all.filter((row) => one.above("doubt", row));
  const few = !one.has("doubt");
  const labels = one.has("label_doubt");
  const suspects = doubtful.length ? doubtful : all.filter((row) => one.text("status", row) !== "failed").slice(0, 10);
  const onAxis = (row, name) => name === "all" || one.axis(row) === name || one.axis(row) === "both";
  byId("suspects-caption").textContent = few
    ? "No population, so no doubt: these are the cases with the lowest Dice with the prediction. Look whether mask or prediction is wrong."
    : doubtful.length
      ? "Cases with doubt above 0.5, the most doubtful first, " + (labels
        ? "at the slice where mask and prediction differ most. Is the scan bad, is the mask wrong, or is it a rare but sound anatomy?"
        : "at the middle slice. Is the scan bad, or is it only of another kind?")
      : "No case has doubt above 0.5. These are the ten highest; they may well be sound.";

  function card(row) {
    const words = one.reasons(row).map((reason) => reason.sentence);
    return h("a", { class: `card is-${one.axis(row)}`, href: one.link(row), "data-row": row,
      onmouseenter: () => plots.mark(row), onmouseleave: () => plots.mark(null) },
      h("span", { class: "frame" }, thumb(one, row, 172)),
      h("span", { class: "about" },
        h("span", { class: "id" }, data.case[row]),
        words.length ? h("ul", {}, words.slice(0, 3).map((word) => h("li", {}, word))) : null,
        words.length > 3 ? h("span", { class: "others" }, `and ${words.length - 3} more`) : null,
        few ? h("span", { class: "muted" }, `${one.title("oof_dice")} ${score(one.value("oof_dice", row))}`)
          : h("span", { class: "meters" }, [["label", "Label"], ["image", "Image"]].map(([name, title]) => [
            h("span", {}, title), meter(name, `${title} doubt`, one.value(`${name}_doubt`, row)),
            h("span", { class: "value" }, score(one.value(`${name}_doubt`, row)))]))));
  }

  function cards() {
    const mine = suspects.filter((row) => onAxis(row, axis));
    byId("cards").replaceChildren(...mine.slice(0, limit).map(card));
    if (!mine.length) byId("cards").append(h("p", { class: "note" }, "None on this axis."));
    const more = byId("more-cards");
    more.hidden = mine.length <= limit;
    more.textContent = `Show more (${(mine.length - limit).toLocaleString("en")} left)`;
  }
  byId("more-cards").addEventListener("click", () => {
    limit += 4 * STEP;
    cards();
  });
  if (doubtful.length) {
    const count = (name) => suspects.filter((row) => onAxis(row, name)).length;
    ALEASEG.chips({ all: `all ${count("all")}`, image: `image ${count("image")}`, label: `label ${count("label")}` }, "all", (name) => {
      axis = name;
      limit = STEP;
      cards();
    }, byId("suspect-chips"));
  }
  cards();

  // -- distributions -------------------------------------------------------------------------
  function strip(name, host) {
    const column = data.numbers[name];
    const known = all.filter((row) => column[row] !== null);
    let low = Infinity;
    let high = -Infinity;
    for (const row of known) {
      low = Math.min(low, column[row]);
      high = Math.max(high, column[row]);
    }
    if (name.endsWith("doubt") || name === "auv") [low, high] = [0, 1];
    const heights = plots.swarm(column, low, high);
    const pad = (high - low || 1) * 0.015;
    const half = name.endsWith("doubt");
    plots.plot(host, (colours) => ({
      dots: { rows: known, x: (row) => column[row], y: (row) => heights[row], kind: one.axis, size: 5 },
      layout: {
        height: 104, margin: { l: 8, r: 8, t: 2, b: 22 },
        xaxis: { range: [low - pad, high + pad], fixedrange: true, nticks: 7 },
        yaxis: { visible: false, range: [-1.25, 1.25], fixedrange: true },
        shapes: half ? [{ type: "line", x0: data.half, x1: data.half, yref: "paper", y0: 0, y1: 1, line: { color: colours.muted, width: 1, dash: "dot" } }] : [],
      },
    }), { rows, at: (row) => [column[row], heights[row]] });
  }

  const strips = byId("strips");
  for (const { name, title, role } of data.columns) {
    if (role !== "score" || !one.has(name)) continue;
    const host = h("div", { class: "plot strip", "data-strip": name });
    strips.append(h("figure", {}, h("h3", {}, title, " ", h("small", {}, one.direction(name))), host));
    strip(name, host);
  }
  if (data.statistics.length) {
    const host = h("div", { class: "plot strip", "data-strip": "statistic" });
    const choice = h("select", { "aria-label": "Image statistic", onchange: (event) => draw(event.target.value) },
      data.statistics.map((name) => h("option", { value: name }, one.title(name))));
    let current = host;
    const draw = (name) => {
      const fresh = h("div", { class: "plot strip", "data-strip": "statistic" });
      current.replaceWith(fresh);
      current = fresh;
      strip(name, fresh);
    };
    strips.append(h("figure", {}, h("h3", {}, "Image statistic ", choice), host));
    draw(data.statistics[0]);
  }

  // -- every case ----------------------------------------------------------------------------
  const sheet = ALEASEG.sheet(one, byId("sheet"), byId("sheet-controls"), byId("sheet-count"), plots.mark);

  // -- image doubt against label doubt -------------------------------------------------------
  if (one.has("image_doubt") && one.has("label_doubt")) {
    const [x, y] = [data.numbers.image_doubt, data.numbers.label_doubt];
    const known = all.filter((row) => x[row] !== null && y[row] !== null);
    const word = (text, px, py, colours) => ({
      text, x: px, y: py, xref: "paper", yref: "paper", showarrow: false, font: { color: colours.muted, size: 12 },
      xanchor: px ? "right" : "left", yanchor: py ? "top" : "bottom",
    });
    const line = (colours, way) => ({ type: "line", ...way, line: { color: colours.muted, width: 1, dash: "dot" } });
    plots.plot(byId("quadrants"), (colours) => ({
      dots: { rows: known, x: (row) => x[row], y: (row) => y[row], kind: one.axis, size: 6 },
      layout: {
        margin: { l: 46, r: 10, t: 10, b: 42 }, dragmode: matchMedia("(pointer: coarse)").matches ? false : "select",
        xaxis: { title: { text: one.withDirection("image_doubt") }, range: [-0.03, 1.03] },
        yaxis: { title: { text: one.withDirection("label_doubt") }, range: [-0.03, 1.03] },
        shapes: [line(colours, { x0: data.half, x1: data.half, y0: -0.03, y1: 1.03 }), line(colours, { x0: -0.03, x1: 1.03, y0: data.half, y1: data.half })],
        annotations: [word("re-annotate", 0, 1, colours), word("both", 1, 1, colours), word("fine", 0, 0, colours), word("re-scan", 1, 0, colours)],
      },
    }), { rows: { ...rows, select: sheet.choose }, at: (row) => [x[row], y[row]] });
  } else {
    byId("quadrants-figure").hidden = true;
  }

  ALEASEG.confounds(one, all, rows);
  ALEASEG.spectra(one);

  // -- lowest and highest AUV ----------------------------------------------------------------
  if (one.has("auv") && byId("lowest")) {
    const auv = data.numbers.auv;
    const ranked = all.filter((row) => auv[row] !== null).sort((a, b) => auv[a] - auv[b] || a - b);
    const picture = (row) => h("a", { class: "tile", href: one.link(row) }, h("span", { class: "frame" }, thumb(one, row, 120)),
      h("span", { class: "id" }, data.case[row]), h("span", { class: "value" }, score(auv[row])));
    byId("lowest").append(...ranked.slice(0, 6).map(picture));
    byId("highest").append(...ranked.slice(-6).reverse().map(picture));
  }
  document.body.dataset.ready = String(Math.round(performance.now())); // ms from the click
})();
