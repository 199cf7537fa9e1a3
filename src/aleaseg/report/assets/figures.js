// The confound check, and the paper's figures.
"use strict";

ALEASEG.confounds = (one, all, rows) => {
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
  let places = () => null;
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
    places = (row) => [x(row), y(row)];
    const mine = all.filter((row) => x(row) !== null && y(row) !== null);
    plots.plot(document.getElementById("confound-plot"), () => ({
      dots: { rows: mine, x, y, kind: one.axis, size: 6 },
      layout: {
        xaxis: texts
          ? { title: { text: one.title(c) }, tickvals: texts.map((_, place) => place), ticktext: texts.map(shorten), range: [-0.6, texts.length - 0.4] }
          : { title: { text: one.withUnit(c) } },
        yaxis: { title: { text: one.withDirection(m) } },
      },
    }), { rows, at: (row) => places(row) });
    document.getElementById("confound-caption").textContent = entry.rho === null
      ? `No correlation: ${one.title(m)} or ${one.title(c)} does not vary (n = ${entry.n}).`
      : `${entry.kind === "rho" ? "Spearman ρ" : "Correlation ratio η of the ranks"} = ${signed(entry.rho)}, n = ${entry.n.toLocaleString("en")}.`
        + (Math.abs(entry.rho) >= 0.5 ? " Strong: read this score with size in mind." : Math.abs(entry.rho) >= 0.3 ? " Moderate: look at the plot." : " Weak.");
  }
  // Plotly reads markup in texts; data are not markup.
  function shorten(text) {
    const short = text.length > 24 ? `${text.slice(0, 23)}…` : text;
    return ALEASEG.plain(short);
  }
  draw();
};

// Text that Plotly shows as it is.
ALEASEG.plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\$/g, "＄");

ALEASEG.spectra = (one) => {
  const { h, plots, score } = ALEASEG;
  const { data } = one;
  const byId = (id) => document.getElementById(id);
  const controls = byId("spectra-controls");
  if (controls && data.spectra.length) {
    const choice = h("select", { id: "spectra-class" }, data.spectra.map((entry, place) => h("option", { value: place }, entry.class)));
    choice.addEventListener("change", draw);
    controls.append(h("label", {}, "class ", choice));
    const dashes = ["solid", "dash", "dashdot", "dot"];
    // The first index at which the sum of energies reaches a share.
    function reach(p, share) {
      let sum = 0;
      const at = p.findIndex((value) => { sum += value; return sum >= share; });
      return at < 0 ? `> ${p.length}` : at + 1;
    }
    function curves(values, colours, add) {
      return data.spectra[Number(choice.value)].curves.map((curve, place) => ({
        type: "scatter", mode: "lines", x: curve.energies.map((_, j) => j + 1), y: values(curve.energies),
        name: ALEASEG.plain(`${curve.which}: ${curve.case}, S ${score(curve.s)}${add ? add(curve.energies) : ""}`), hoverinfo: "x+y+name", hoverlabel: { namelength: 40 },
        line: { color: colours.curves[place], width: 2.2, dash: dashes[place] },
      }));
    }
    const legend = (colours) => ({ orientation: "h", y: -0.22, x: 0, font: { color: colours.ink, size: 11 } });
    function draw() {
      plots.plot(byId("decay"), (colours) => ({
        // sqrt: energies are squared singular values
        data: curves((p) => p.map((value) => (value > 0 ? Math.sqrt(value / p[0]) : null)), colours),
        layout: {
          showlegend: true, legend: legend(colours), margin: { l: 60, r: 12, t: 8, b: 90 },
          xaxis: { title: { text: "index of the singular value" } },
          yaxis: { type: "log", title: { text: "relative to the first" }, exponentformat: "power", dtick: 1 },
        },
      }));
      plots.plot(byId("energy"), (colours) => ({
        data: curves((p) => {
          let sum = 0;
          return p.map((value) => { sum += value; return sum; });
        }, colours, (p) => `, 90% by ${reach(p, 0.9)}`),
        layout: {
          showlegend: true, legend: legend(colours), margin: { l: 60, r: 12, t: 8, b: 90 },
          xaxis: { title: { text: "number of singular values" } },
          yaxis: { title: { text: "share of the energy" }, range: [0, 1.02] },
          shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.5, y1: 0.5, line: { color: colours.muted, width: 1.2, dash: "dot" } }],
          annotations: [{ text: "50% of the energy", xref: "paper", x: 1, y: 0.5, xanchor: "right", yanchor: "bottom", showarrow: false, font: { color: colours.muted, size: 11 } }],
        },
      }));
    }
    draw();
  } else if (controls) {
    byId("spectra-figures").hidden = true;
    controls.append(h("p", { class: "note" }, "Spectra are drawn from four cases of a class on; no class has as many."));
  }

  const host = byId("histograms");
  if (!host) return;
  const MOST = 8; // more classes than that are chosen from a list
  const show = (entry) => {
    const element = h("div", { class: "plot hist" });
    host.append(h("figure", {}, h("h3", {}, entry.class || "Entire case", " ",
      h("small", {}, `n = ${entry.n.toLocaleString("en")}, median ${score(entry.median)}`)), element));
    const step = 1 / entry.counts.length;
    plots.plot(element, (colours) => ({
      data: [{
        type: "bar", x: entry.counts.map((_, bin) => (bin + 0.5) * step), y: entry.counts, width: step * 0.92,
        marker: { color: entry.class ? colours.fine : colours.accent }, hovertemplate: "AUV %{x:.2f}: %{y}<extra></extra>",
      }],
      layout: {
        height: 170, margin: { l: 38, r: 8, t: 4, b: 36 },
        xaxis: { range: [0, 1], title: { text: one.withDirection("auv") } }, yaxis: { nticks: 4, rangemode: "tozero" },
      },
    }));
    return host.lastChild;
  };
  const [entire, ...classes] = data.histograms[0] && data.histograms[0].class === "" ? data.histograms : [null, ...data.histograms];
  if (entire) show(entire);
  if (classes.length <= MOST) classes.forEach(show);
  else {
    let current = show(classes[0]);
    const choice = h("select", { id: "histogram-class" }, classes.map((entry, place) => h("option", { value: place }, entry.class)));
    choice.addEventListener("change", () => {
      current.remove();
      current = show(classes[Number(choice.value)]);
    });
    host.before(h("div", { class: "controls" }, h("label", {}, "class ", choice)));
  }
};
