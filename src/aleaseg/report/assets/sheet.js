// The contact sheet: pictures or a table of all cases. Only what is on screen exists as elements.
"use strict";

ALEASEG.sheet = (one, host, controls, status, hover) => {
  const { h, meter, thumb, score } = ALEASEG;
  const sortable = one.data.columns.filter((column) => one.has(column.name));
  const columns = ["doubt", "image_doubt", "label_doubt", "auv", "perception_scale", "oof_dice", "softmin", "volume_mm3"]
    .filter(one.has);
  const state = {
    words: [], show: "all", sort: columns[0] || "case", down: true, view: "pictures", chosen: null,
  };
  state.down = one.sign(state.sort) >= 0; // the bad end first
  const haystack = one.data.case.map((id, row) =>
    `${id} ${one.text("group", row)} ${one.text("site", row)} ${one.reasons(row).map((reason) => reason.sentence).join(" ")} ${one.text("error", row)}`.toLowerCase());
  const canvas = h("div", { class: "canvas" });
  const head = h("div", { class: "row head", role: "row" });
  host.append(head, canvas);
  let rows = [];
  const shown = new Map(); // place in the list -> element

  function wanted(row) {
    if (state.chosen && !state.chosen.has(row)) return false;
    const kind = one.axis(row);
    if (state.show === "image" && kind !== "image" && kind !== "both") return false;
    if (state.show === "label" && kind !== "label" && kind !== "both") return false;
    if (state.show === "suspects" && kind === "fine" && !one.above("doubt", row)) return false;
    if (state.show === "failed" && one.text("status", row) !== "failed") return false;
    return state.words.every((word) => haystack[row].includes(word));
  }

  function compare(a, b) {
    if (state.sort === "case") return one.data.case[a] < one.data.case[b] ? -1 : 1;
    const [x, y] = [one.value(state.sort, a), one.value(state.sort, b)];
    if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1; // missing always last
    return (state.down ? y - x : x - y) || a - b;
  }

  function update() {
    rows = [];
    for (let row = 0; row < one.count; row += 1) if (wanted(row)) rows.push(row);
    rows.sort(compare);
    if (state.sort === "case" && state.down) rows.reverse();
    for (const element of shown.values()) element.remove();
    shown.clear();
    host.scrollTop = 0;
    host.dataset.view = state.view;
    const number = rows.length.toLocaleString("en");
    status.textContent = rows.length === one.count ? `${number} cases` : `${number} of ${one.count.toLocaleString("en")} cases`;
    if (state.view === "table") makeHead();
    head.hidden = state.view !== "table";
    paint();
  }

  function measure() {
    if (state.view === "table") return { across: 1, width: 0, height: 30 };
    const across = Math.max(2, Math.floor(host.clientWidth / 148));
    const width = Math.floor((host.clientWidth - 2) / across);
    return { across, width, height: width + 46 };
  }

  function paint() {
    const { across, width, height } = measure();
    const lines = Math.ceil(rows.length / across);
    canvas.style.height = `${lines * height}px`;
    const first = Math.max(0, Math.floor(host.scrollTop / height) - 2) * across;
    const last = Math.min(rows.length, (Math.ceil((host.scrollTop + host.clientHeight) / height) + 2) * across);
    for (const [place, element] of shown) {
      if (place < first || place >= last) {
        element.remove();
        shown.delete(place);
      }
    }
    let before = null; // keeps the order of the elements, and with it that of the Tab key
    for (let place = first; place < last; place += 1) {
      let element = shown.get(place);
      if (!element) {
        element = state.view === "table" ? line(rows[place]) : tile(rows[place], width);
        shown.set(place, element);
        if (before) before.after(element);
        else canvas.prepend(element);
      }
      element.style.top = `${Math.floor(place / across) * height}px`;
      if (width) {
        element.style.left = `${(place % across) * width}px`;
        element.style.width = `${width - 8}px`;
      }
      before = element;
    }
  }

  function listeners(row) {
    return {
      onmouseenter: () => hover(row), onmouseleave: () => hover(null),
      onfocus: () => hover(row), onblur: () => hover(null),
    };
  }

  function tile(row, width) {
    const failed = one.text("status", row) === "failed";
    const value = state.sort === "case" || !one.has(state.sort) ? "" : one.format(state.sort, one.value(state.sort, row));
    return h("a", { class: `tile is-${one.axis(row)}`, href: one.link(row), ...listeners(row) },
      h("span", { class: "frame" }, failed ? h("span", { class: "no-picture" }, "not scored") : thumb(one, row, width - 8)),
      h("span", { class: "id" }, one.data.case[row]),
      h("span", { class: "under" }, one.has("doubt")
        ? [meter("label", "label doubt", one.value("label_doubt", row)), meter("image", "image doubt", one.value("image_doubt", row))]
        : null, h("span", { class: "value" }, value)));
  }

  function line(row) {
    const cells = columns.map((name) => h("span", {
      role: "cell", class: `number ${one.above(name, row) && name.endsWith("doubt") ? "strong" : ""}`,
    }, one.format(name, one.value(name, row))));
    return h("a", { class: `row is-${one.axis(row)}`, role: "row", href: one.link(row), ...listeners(row) },
      h("span", { role: "cell", class: "id" }, one.data.case[row]), cells,
      h("span", { role: "cell", class: "reasons" }, one.text("error", row) || one.reasons(row).map((reason) => reason.sentence).join("; ")));
  }

  function makeHead() {
    const button = (name, title, kind) => h("button", {
      type: "button", role: "columnheader", class: kind, title: name === "case" ? null : one.title(name),
      "aria-sort": state.sort === name ? (state.down ? "descending" : "ascending") : "none",
      onclick: () => {
        state.down = state.sort === name ? !state.down : name !== "case" && one.sign(name) >= 0;
        state.sort = name;
        sorter.value = name;
        update();
      },
    }, title, state.sort === name ? (state.down ? " ↓" : " ↑") : "");
    head.replaceChildren(button("case", "Case", "id"), ...columns.map((name) => button(name, one.short(name), "number")),
      h("span", { role: "columnheader", class: "reasons" }, "Reasons"));
  }

  const option = (value, title) => h("option", { value }, title);
  const search = h("input", { type: "search", id: "search", placeholder: "Search", "aria-label": "Search cases", autocomplete: "off", spellcheck: "false" });
  search.addEventListener("input", () => {
    state.words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    update();
  });
  const sorter = h("select", { id: "sort" }, option("case", "Case id"), sortable.map((column) => option(column.name, column.title)));
  sorter.value = state.sort;
  sorter.addEventListener("change", () => {
    state.sort = sorter.value;
    state.down = state.sort !== "case" && one.sign(state.sort) >= 0;
    update();
  });
  const turn = h("button", { type: "button", id: "turn", title: "turn the order round", "aria-label": "Turn the order round", onclick: () => {
    state.down = !state.down;
    update();
  } }, "↕");
  const kinds = { all: "all", ...(one.has("doubt") ? { suspects: "suspects", image: "image", label: "label" } : {}) };
  if (one.data.status.texts.includes("failed")) kinds.failed = "not scored";
  const chips = ALEASEG.chips(kinds, "all", (kind) => {
    state.show = kind;
    update();
  });
  chips.setAttribute("aria-label", "Which cases");
  const views = ALEASEG.chips({ pictures: "pictures", table: "table" }, "pictures", (view) => {
    state.view = view;
    update();
  });
  views.setAttribute("aria-label", "View");
  const release = h("button", { type: "button", class: "release", hidden: true, onclick: () => choose(null) }, "× selection in the plot");
  controls.append(search, h("label", {}, "sort by ", sorter), turn, chips, views, release);

  function choose(list) {
    state.chosen = list ? new Set(list) : null;
    release.hidden = !list;
    update();
  }

  let asked = false;
  host.addEventListener("scroll", () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      paint();
    });
  });
  new ResizeObserver(() => paint()).observe(host);
  update();
  return { choose };
};

// Buttons of which one is pressed.
ALEASEG.chips = (choices, first, choose, host) => {
  const group = host || ALEASEG.h("span", { class: "chips", role: "group" });
  for (const [name, title] of Object.entries(choices)) {
    group.append(ALEASEG.h("button", {
      type: "button", class: "chip", "data-choice": name, "aria-pressed": String(name === first),
      onclick: (event) => {
        for (const other of group.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === event.currentTarget));
        choose(name);
      },
    }, title));
  }
  return group;
};
