// The confound check, and the paper's figures.
"use strict";

ALEASEG.confounds = (one, all, hooks) => {
  const { h, plots } = ALEASEG;
  const { data } = one;
  const section = document.getElementById("confounds");
  const names = (key) => [...new Set(data.confounds.map((entry) => entry[key]))];
  const measures = names("measure");
  const scores = measures.filter((name) => one.column[name].role === "score");
  const confounds = names("confound");
  if (!data.confounds.length) {
    section.hidden = true;
    return;
  }
  const signed = (rho) => rho.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−");
  const find = (measure, confound) => data.confounds.find((entry) => entry.measure === measure && entry.confound === confound);
  const known = data.confounds.filter((entry) => entry.rho !== null && scores.includes(entry.measure));
  const strongest = known.reduce((best, entry) => (!best || Math.abs(entry.rho) > Math.abs(best.rho) ? entry : best), null);
  const start = strongest || data.confounds[0];
  const select = (id, title, choices, value) => {
    const element = h("select", { id }, choices.map((name) => h("option", { value: name }, one.title(name))));
    element.value = value;
    element.addEventListener("change", draw);
    document.getElementById("confound-controls").append(h("label", {}, `${title} `, element));
    return element;
  };
  const measure = select("confound-measure", "score", measures, start.measure);
  const confound = select("confound-against", "against", confounds, start.confound);

  const cells = new Map();
  const cell = (m, c) => {
    const entry = find(m, c);
    if (entry.rho === null) return h("td", { class: "muted" }, "–");
    const button = h("button", {
      type: "button", class: entry === strongest ? "strongest" : null,
      "aria-label": `${one.title(m)} against ${one.title(c)}: ${signed(entry.rho)}, n = ${entry.n}`,
      onclick: () => {
        measure.value = m;
        confound.value = c;
        draw();
      },
    }, signed(entry.rho));
    button.style.setProperty("--strength", Math.abs(entry.rho).toFixed(2));
    cells.set(`${m}|${c}`, button);
    return h("td", {}, button);
  };
  document.getElementById("confound-table").append(
    h("thead", {}, h("tr", {}, h("td", {}), scores.map((m) => h("th", { scope: "col" }, one.title(m))))),
    h("tbody", {}, confounds.map((c) => h("tr", {}, h("th", { scope: "row" }, one.title(c)), scores.map((m) => cell(m, c))))));

  // The plot shows the chosen pair; against texts the cases stand in one lane per text.
  function draw() {
    const [m, c] = [measure.value, confound.value];
    const entry = find(m, c);
    for (const [name, button] of cells) button.setAttribute("aria-pressed", String(name === `${m}|${c}`));
    const texts = one.has(c) ? null : data[c].texts.filter((text) => text !== "");
    const y = (row) => one.value(m, row);
    const lane = (row) => {
      const at = texts.indexOf(one.text(c, row));
      return at < 0 ? null : at + ((((row * 7919) % 101) / 101 - 0.5) * 0.6);
    };
    const x = texts ? lane : (row) => one.value(c, row);
    const mine = all.filter((row) => x(row) !== null && y(row) !== null);
    const ends = (values) => {
      const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
      const pad = 0.03 * (high - low || 1);
      return [low - pad, high + pad];
    };
    plots.plot(document.getElementById("confound-plot"), () => ({
      names: texts ? {} : { x: c, y: m },
      x: texts
        ? { title: one.title(c), range: [-0.6, texts.length - 0.4], ticks: texts.length > 16 ? [] : texts.map((text, at) => ({ at, said: shorten(text) })) }
        : { title: one.withUnit(c), range: ends(mine.map(x)) },
      y: { title: one.withDirection(m), range: ends(mine.map(y)) },
      dots: { rows: mine, x, y, kind: one.axis, size: 6 },
    }), {
      ...hooks, label: `${one.title(m)} against ${one.title(c)} of ${mine.length} cases; arrow keys move from case to case`,
      title: (row) => `${data.case[row]}: ${one.title(m)} ${one.format(m, y(row))}`,
    });
    document.getElementById("confound-caption").textContent = entry.rho === null
      ? `No correlation: ${one.title(m)} or ${one.title(c)} does not vary (n = ${entry.n}).`
      : `${entry.kind === "rho" ? "Spearman ρ" : "Correlation ratio η of the ranks"} = ${signed(entry.rho)}, n = ${entry.n.toLocaleString("en")}.`
        + (Math.abs(entry.rho) >= 0.5 ? " Strong: read this score with size in mind." : Math.abs(entry.rho) >= 0.3 ? " Moderate: look at the plot." : " Weak.");
  }
  function shorten(text) {
    return text.length > 24 ? `${text.slice(0, 23)}…` : text;
  }
  draw();
};

ALEASEG.spectra = (one) => {
  const { h, plots, score } = ALEASEG;
  const { data } = one;
  const byId = (id) => document.getElementById(id);
  const controls = byId("spectra-controls");
  if (!controls) return;
  if (!data.spectra.length) {
    byId("spectra-figures").hidden = true;
    controls.append(h("p", { class: "note" }, "Spectra are drawn from four cases of a class on; no class has as many."));
    return;
  }
  const choice = h("select", { id: "spectra-class", autocomplete: "off", onchange: () => draw() },
    data.spectra.map((entry, place) => h("option", { value: place }, entry.class)));
  controls.append(h("label", {}, "class ", choice));

  // The first index at which the sum of energies reaches a share.
  function reach(p, share) {
    let sum = 0;
    const at = p.findIndex((value) => { sum += value; return sum >= share; });
    return at < 0 ? `> ${p.length}` : at + 1;
  }

  function sums(p) {
    let sum = 0;
    return p.map((value) => { sum += value; return sum; });
  }

  const curves = (list, values) => list.map((curve, place) => ({
    kind: `c${place}`, said: `${curve.which}: ${curve.case}`, points: values(curve.energies).map((value, j) => [j + 1, value]),
  }));

  function draw() {
    const { curves: list } = data.spectra[Number(choice.value)];
    const most = Math.max(...list.map((curve) => curve.energies.length));
    // sqrt: energies are squared singular values
    const decays = curves(list, (p) => p.map((value) => (value > 0 ? Math.sqrt(value / p[0]) : null)));
    const least = Math.min(...decays.flatMap((curve) => curve.points.map((point) => point[1]).filter(Boolean)));
    plots.plot(byId("decay"), () => ({
      margin: { l: 60 }, x: { range: [1, most], title: "index of the singular value" },
      y: { range: [least, 1], log: true, title: "relative to the first" }, curves: decays,
    }));
    // From where the curves begin: at 0 they would lie on the frame.
    const first = Math.min(...list.map((curve) => curve.energies[0]));
    plots.plot(byId("energy"), () => ({
      margin: { l: 60 }, x: { range: [1, most], title: "number of singular values" },
      y: { range: [Math.min(0.48, Math.max(0, first - 0.03)), 1.01], title: "share of the energy" },
      rules: [{ y: 0.5 }], curves: curves(list, sums),
    }));
    const legend = (said) => list.map((curve, place) => h("li", { class: `c${place}` }, h("i"), `${curve.which}: ${curve.case}, S ${score(curve.s)}${said(curve.energies)}`));
    byId("decay-legend").replaceChildren(...legend(() => ""));
    byId("energy-legend").replaceChildren(...legend((p) => `, 90% by ${reach(p, 0.9)}`));
  }
  draw();
};

ALEASEG.gallery = (one, all) => {
  const { h, plots, score, thumb } = ALEASEG;
  const { data } = one;
  const byId = (id) => document.getElementById(id);
  const host = byId("histograms");
  if (!host) return;
  const MOST = 8; // more classes than that are chosen from a list
  const show = (entry) => {
    const element = h("div", { class: "plot hist" });
    const figure = h("figure", {}, h("h3", {}, entry.class || "Entire case", " ",
      h("small", {}, `n = ${entry.n.toLocaleString("en")}, median ${score(entry.median)}`)), element);
    host.append(figure);
    const step = 1 / entry.counts.length;
    plots.plot(element, () => ({
      margin: { l: 38, r: 8, t: 4, b: 34 },
      x: { range: [0, 1], title: one.withDirection("auv") }, y: { range: [0, Math.max(...entry.counts) * 1.05] },
      bars: entry.counts.map((size, bin) => ({
        low: bin * step, high: (bin + 1) * step, size, kind: entry.class ? "of-class" : "entire",
        said: `AUV ${score(bin * step)} to ${score((bin + 1) * step)}: ${size}`,
      })),
    }));
    return figure;
  };
  const entire = data.histograms.find((entry) => entry.class === "");
  // Of one class alone the histogram is that of the entire case.
  const classes = data.classes.length === 1 && entire ? [] : data.histograms.filter((entry) => entry.class !== "");
  if (entire) show(entire);
  if (classes.length <= MOST) classes.forEach(show);
  else {
    let current = show(classes[0]);
    const choice = h("select", { id: "histogram-class", autocomplete: "off", onchange: () => {
      current.remove();
      current = show(classes[Number(choice.value)]);
    } }, classes.map((entry, place) => h("option", { value: place }, entry.class)));
    host.before(h("div", { class: "controls" }, h("label", {}, "class ", choice)));
  }

  const auv = data.numbers.auv;
  if (!auv) return;
  const ranked = all.filter((row) => auv[row] !== null).sort((a, b) => auv[a] - auv[b] || a - b);
  const picture = (row) => h("a", { class: "tile", href: one.link(row, "sort=-auv") }, h("span", { class: "frame" }, thumb(one, row, 120)),
    h("span", { class: "id", title: data.case[row] }, one.short(row)), h("span", { class: "value" }, score(auv[row])));
  byId("lowest").append(...ranked.slice(0, 6).map(picture));
  byId("highest").append(...ranked.slice(-6).reverse().map(picture));
};
