// The cases in the order and with the filter that a reader chose. It knows no element: a sheet shows it, plots
// mark it, an address keeps it, and the page of a case goes on along it.
"use strict";

// `more`: further filters, name -> (row) => whether it is shown.
ALEASEG.queue = (one, isFlagged = () => false, more = {}) => {
  const FIRST = ["doubt", "oof_dice", "image_doubt", "label_doubt", "auv", "perception_scale"];
  // "given": as the table has them; for a blind review it was shuffled.
  const sort = one.data.shuffled ? "given" : FIRST.find(one.has) || "case";
  const badFirst = (name) => !["case", "given"].includes(name) && one.sign(name) >= 0;
  const start = () => ({ search: "", show: "all", sort, down: badFirst(sort), view: "pictures", ranges: {} });
  const state = start();
  const listeners = [];
  let rows = null;
  let texts = null;

  // What a reader sees of a case, in lower case.
  function text(row) {
    texts = texts || [];
    if (texts[row] === undefined) {
      const words = one.reasons(row).map((reason) => `${reason.axis} ${reason.sentence}`);
      texts[row] = [one.data.case[row], one.text("group", row), one.text("site", row), ...words, one.text("error", row)]
        .join("  ").toLowerCase();
    }
    return texts[row];
  }

  const SHOWN = {
    all: () => true,
    suspects: (row) => one.above("doubt", row) || one.axis(row) !== "fine",
    image: (row) => ["image", "both"].includes(one.axis(row)),
    label: (row) => ["label", "both"].includes(one.axis(row)),
    failed: (row) => one.failed(row),
    flagged: (row) => isFlagged(row),
    ...more,
  };

  function filter() {
    const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
    const ranges = Object.entries(state.ranges);
    const shown = SHOWN[state.show] || SHOWN.all;
    return (row) => shown(row)
      && ranges.every(([name, [low, high]]) => {
        const value = one.value(name, row);
        return value !== null && value >= low && value <= high;
      })
      && words.every((word) => text(row).includes(word));
  }

  function compare(a, b) {
    if (state.sort === "given") return a - b;
    if (state.sort === "case") {
      const order = one.data.case[a] < one.data.case[b] ? -1 : 1;
      return state.down ? -order : order;
    }
    const [x, y] = [one.value(state.sort, a), one.value(state.sort, b)];
    if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1; // missing always last
    return (state.down ? y - x : x - y) || a - b;
  }

  function list() {
    if (rows) return rows;
    const wanted = filter();
    rows = [];
    for (let row = 0; row < one.count; row += 1) if (wanted(row)) rows.push(row);
    rows.sort(compare);
    return rows;
  }

  // Take over what is given; a new score to sort by starts with its bad end.
  function set(changes) {
    Object.assign(state, changes);
    if ("sort" in changes && !("down" in changes)) state.down = badFirst(state.sort);
    rows = null;
    for (const listen of listeners) listen(state);
  }

  // A range of one score, or none: {name: [low, high]} or {name: null}.
  function range(changes) {
    const ranges = { ...state.ranges, ...changes };
    for (const name of Object.keys(ranges)) if (!ranges[name]) delete ranges[name];
    set({ ranges });
  }

  // As an address has it, with these changes: what is as at the start is left out.
  function address(changes = {}) {
    const wanted = { ...state, ...changes };
    const asked = new URLSearchParams();
    if (wanted.search) asked.set("search", wanted.search);
    if (wanted.show !== "all") asked.set("show", wanted.show);
    if (wanted.sort !== sort || wanted.down !== badFirst(sort)) asked.set("sort", (wanted.down ? "-" : "") + wanted.sort);
    if (wanted.view !== "pictures") asked.set("view", wanted.view);
    for (const [name, [low, high]] of Object.entries(wanted.ranges)) asked.append("range", `${name}:${short(low)}:${short(high)}`);
    return asked.toString();
  }
  const short = (value) => Number(value.toPrecision(5));

  function read(text) {
    const asked = new URLSearchParams(text);
    const found = start();
    const name = (asked.get("sort") || "").replace(/^-/, "");
    if (name === "case" || name === sort || one.has(name)) [found.sort, found.down] = [name, asked.get("sort").startsWith("-")];
    found.search = asked.get("search") || "";
    if (Object.hasOwn(SHOWN, asked.get("show") || "")) found.show = asked.get("show");
    if (asked.get("view") === "table") found.view = "table";
    for (const part of asked.getAll("range")) {
      const [column, low, high] = part.split(":");
      if (one.has(column) && Number.isFinite(Number(low)) && Number.isFinite(Number(high))) found.ranges[column] = [Number(low), Number(high)];
    }
    set(found);
  }

  const narrowed = () => state.search.trim() !== "" || state.show !== "all" || Object.keys(state.ranges).length > 0;
  const on = (listen) => listeners.push(listen);
  return { state, rows: list, set, range, address, read, narrowed, on };
};
