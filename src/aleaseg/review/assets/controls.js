// What the queue of a review is asked with: search, which cases, their order.
"use strict";

// Two orders that change with what is decided, as columns of the table of cases before it is made.
ALEASEG.lookingColumns = (data, blind) => {
  const column = (name, title, direction, sign) => ({ name, title, short: title, direction, sign, unit: "", unit_range: false, role: "score", text: "" });
  const more = [column("random_sample", "Random sample", "low = bad", -1)];
  if (!blind) more.unshift(column("faults_per_minute", "Faults found per minute", "high = bad", 1));
  for (const one of more) data.numbers[one.name] = data.case.map(() => null);
  data.columns.push(...more);
};

// `looking()` is a promise of what /api/looking says.
ALEASEG.reviewControls = (one, queue, host, looking) => {
  const { h, number } = ALEASEG;
  const { data } = one;
  const search = h("input", { type: "search", id: "search", placeholder: "Search ids and reasons", "aria-label": "Search cases", autocomplete: "off", spellcheck: "false", oninput: () => queue.set({ search: search.value }) });
  const option = (value, title) => h("option", { value }, title);
  const kinds = { all: "all cases", undecided: "not decided by you", decided: "decided by you", disputed: "raters disagree", stale: "mask changed since",
    ...(one.has("doubt") ? { suspects: "suspects", image: "image doubt", label: "label doubt" } : {}) };
  const shown = h("select", { id: "show", "aria-label": "Which cases", onchange: () => queue.set({ show: shown.value }) }, Object.entries(kinds).map(([name, title]) => option(name, title)));
  const sorter = h("select", { id: "sort", "aria-label": "Order", onchange: choose },
    data.shuffled ? option("given", "shuffled") : null,
    data.columns.filter((column) => one.has(column.name)).map((column) => option(column.name, `by ${column.title.toLowerCase()}`)), option("case", "by id"));
  const count = h("span", { class: "muted", role: "status" });
  const sample = h("p", { class: "sample", id: "sample", hidden: true });
  host.append(search, shown, sorter, count, sample);

  async function choose() {
    if (["faults_per_minute", "random_sample"].includes(sorter.value)) await learn();
    queue.set({ sort: sorter.value });
  }

  // What was decided so far changes what is to be looked at next, and what a sample says.
  async function learn() {
    const found = await looking();
    data.numbers.random_sample = data.hash.map((hash) => found.drawn[hash]);
    if (found.rates) data.numbers.faults_per_minute = data.hash.map((hash) => found.rates[hash]);
    tell(found.sample);
  }

  function tell({ size, bad, cases, low, high, left_low: leftLow, left_high: leftHigh }) {
    const range = (a, b) => (a === b ? number(a) : `${number(a)} to ${number(b)}`);
    sample.textContent = size
      ? `Of the first ${number(size)}, all decided, ${number(bad)} bad: ${range(low, high)} of all ${number(cases)} (95%), ${range(leftLow, leftHigh)} of them not found yet.`
      : "Decide about the first cases of this order: they say how many of all are bad.";
  }

  const sync = () => {
    sorter.value = queue.state.sort;
    shown.value = queue.state.show;
    sample.hidden = queue.state.sort !== "random_sample";
    count.textContent = queue.narrowed() ? `${queue.rows().length.toLocaleString("en")} cases` : "";
  };
  queue.on(sync);
  sync();
  return { decided: () => (sample.hidden ? null : looking().then((found) => tell(found.sample)).catch(() => {})) };
};
