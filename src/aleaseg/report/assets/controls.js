// What a queue is asked with: search, order, filters, ranges, the view; and how many cases are left.
"use strict";

ALEASEG.controls = (one, queue, host, status) => {
  const { h, chips } = ALEASEG;
  const { state } = queue;
  const sortable = one.data.columns.filter((column) => one.has(column.name));
  const option = (value, title) => h("option", { value }, title);
  const search = h("input", {
    type: "search", id: "search", placeholder: "Search ids and reasons", "aria-label": "Search cases", autocomplete: "off",
    spellcheck: "false", oninput: () => queue.set({ search: search.value }),
  });
  const sorter = h("select", { id: "sort", autocomplete: "off", onchange: () => queue.set({ sort: sorter.value }) },
    option("case", "Case id"), sortable.map((column) => option(column.name, column.title)));
  const turn = h("button", {
    type: "button", id: "turn", title: "reverse the order", "aria-label": "Reverse the order",
    onclick: () => queue.set({ down: !state.down }),
  }, "↕");
  const kinds = { all: "all", ...(one.has("doubt") ? { suspects: "suspects", image: "image", label: "label" } : {}), flagged: "flagged" };
  if (one.data.status.texts.some((status) => status === "failed" || status === "killed")) kinds.failed = "not scored";
  const shown = chips(kinds, "all", (show) => queue.set({ show }));
  shown.setAttribute("aria-label", "Which cases");
  const views = chips({ pictures: "pictures", table: "table" }, "pictures", (view) => queue.set({ view }));
  views.setAttribute("aria-label", "View");
  const releases = h("span", { class: "releases" });
  host.append(search, h("label", {}, "sort by ", sorter), turn, shown, views, ranges(), releases);

  // A range by numbers; a box in a plot does the same.
  function ranges() {
    if (!sortable.length) return null;
    const column = h("select", { "aria-label": "Score or number", autocomplete: "off" }, sortable.map((one_) => option(one_.name, one_.title)));
    const end = (title) => h("input", { type: "number", step: "any", "aria-label": title, placeholder: title });
    const [low, high] = [end("from"), end("to")];
    const apply = () => {
      const from = low.value === "" ? -Infinity : Number(low.value);
      const to = high.value === "" ? Infinity : Number(high.value);
      const found = one.data.numbers[column.value].filter((value) => value !== null);
      const [least, most] = found.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
      queue.range({ [column.value]: [Math.max(from, least), Math.min(to, most)] });
    };
    return h("details", { class: "range" }, h("summary", {}, "range"),
      h("span", {}, column, low, high, h("button", { type: "button", onclick: apply }, "keep")));
  }

  function sync() {
    if (search.value !== state.search) search.value = state.search;
    sorter.value = state.sort;
    shown.press(state.show);
    views.press(state.view);
    releases.replaceChildren(...Object.entries(state.ranges).map(([name, [low, high]]) => h("button", {
      type: "button", class: "release", onclick: () => queue.range({ [name]: null }),
      "aria-label": `Remove the range of ${one.title(name)}`,
    }, `× ${one.title(name)} ${one.format(name, low)} to ${one.format(name, high)}`)));
    const [left, all] = [queue.rows().length.toLocaleString("en"), one.count.toLocaleString("en")];
    status.textContent = queue.rows().length === one.count ? `${all} cases` : `${left} of ${all} cases`;
  }
  queue.on(sync);
  addEventListener("pageshow", sync); // a browser may have filled in what stood here before
  sync();
};
