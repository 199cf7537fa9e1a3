// What the queue of a review is asked with: search, which cases, their order.
"use strict";

ALEASEG.reviewControls = (one, queue, host) => {
  const { h } = ALEASEG;
  const search = h("input", { type: "search", id: "search", placeholder: "Search ids and reasons", "aria-label": "Search cases", autocomplete: "off", spellcheck: "false", oninput: () => queue.set({ search: search.value }) });
  const option = (value, title) => h("option", { value }, title);
  const kinds = { all: "all cases", undecided: "not decided by you", decided: "decided by you", disputed: "raters disagree", stale: "mask changed since",
    ...(one.has("doubt") ? { suspects: "suspects", image: "image doubt", label: "label doubt" } : {}) };
  const shown = h("select", { id: "show", "aria-label": "Which cases", onchange: () => queue.set({ show: shown.value }) }, Object.entries(kinds).map(([name, title]) => option(name, title)));
  const sorter = h("select", { id: "sort", "aria-label": "Order", onchange: () => queue.set({ sort: sorter.value }) },
    one.data.columns.filter((column) => one.has(column.name)).map((column) => option(column.name, `by ${column.title.toLowerCase()}`)), option("case", "by id"));
  const count = h("span", { class: "muted", role: "status" });
  host.append(search, shown, sorter, count);
  const sync = () => {
    sorter.value = queue.state.sort;
    shown.value = queue.state.show;
    count.textContent = queue.narrowed() ? `${queue.rows().length.toLocaleString("en")} cases` : "";
  };
  queue.on(sync);
  sync();
};
