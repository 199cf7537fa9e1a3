// One dot per case: a strip for each score, and image doubt against label doubt.
"use strict";

ALEASEG.distributions = (one, all, hooks) => {
  const { h, plots } = ALEASEG;
  const { data } = one;
  const byId = (id) => document.getElementById(id);
  const titled = (name, row) => `${data.case[row]}: ${one.title(name)} ${one.format(name, one.value(name, row))}`;

  function strip(name, host) {
    const column = data.numbers[name];
    const known = all.filter((row) => column[row] !== null);
    let [low, high] = known.reduce(([a, b], row) => [Math.min(a, column[row]), Math.max(b, column[row])], [Infinity, -Infinity]);
    if (name.endsWith("doubt") || name === "auv") [low, high] = [0, 1];
    const heights = plots.swarm(column, low, high);
    const pad = (high - low || 1) * 0.015;
    plots.plot(host, () => ({
      margin: { l: 8, r: 8, t: 2, b: 20 }, names: { x: name },
      x: { range: [low - pad, high + pad] }, y: { range: [-1.25, 1.25], hidden: true },
      rules: name.endsWith("doubt") ? [{ x: data.half }] : [],
      dots: { rows: known, x: (row) => column[row], y: (row) => heights[row], kind: one.axis, size: 5 },
    }), { ...hooks, label: `${one.title(name)} of ${known.length} cases; arrow keys move from case to case`, title: (row) => titled(name, row) });
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
    const choice = h("select", { "aria-label": "Image statistic", autocomplete: "off", onchange: () => strip(choice.value, host) },
      data.statistics.map((name) => h("option", { value: name }, one.title(name))));
    strips.append(h("figure", {}, h("h3", {}, "Image statistic ", choice), host));
    strip(data.statistics[0], host);
  }

  if (!one.has("image_doubt") || !one.has("label_doubt")) {
    byId("quadrants-figure").hidden = true;
    return;
  }
  const [x, y] = [data.numbers.image_doubt, data.numbers.label_doubt];
  const known = all.filter((row) => x[row] !== null && y[row] !== null);
  const word = (said, left, top) => ({ said, left, top, anchor: left ? "end" : "start" });
  plots.plot(byId("quadrants"), () => ({
    margin: { l: 46, r: 10, t: 10, b: 42 }, names: { x: "image_doubt", y: "label_doubt" },
    x: { range: [-0.03, 1.03], title: one.withDirection("image_doubt") },
    y: { range: [-0.03, 1.03], title: one.withDirection("label_doubt") },
    rules: [{ x: data.half }, { y: data.half }],
    // Beside the dashed line: the corners are full of dots.
    words: [word("re-annotate", 0, 0.5), word("both", 1, 0.5), word("fine", 0, 0.499), word("re-scan", 1, 0.499)],
    dots: { rows: known, x: (row) => x[row], y: (row) => y[row], kind: one.axis, size: 6 },
  }), {
    ...hooks, label: `Image doubt against label doubt of ${known.length} cases; arrow keys move from case to case`,
    title: (row) => `${titled("image_doubt", row)}, ${one.title("label_doubt")} ${one.format("label_doubt", y[row])}`,
  });
};
