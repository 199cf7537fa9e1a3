// A queue on the screen: pictures or a table of its cases. Only what is on screen exists as elements.
"use strict";

// `hooks`: link(row), hover(row or null), badge(row) -> element or null.
ALEASEG.sheet = (one, queue, host, hooks) => {
  const { h, meter, thumb } = ALEASEG;
  const columns = ["doubt", "image_doubt", "label_doubt", "auv", "auv_for_size", "perception_scale", "oof_dice", "softmin", "volume_mm3"]
    .filter(one.has);
  const { state } = queue;
  const canvas = h("div", { class: "canvas" });
  const head = h("div", { class: "row head", role: "row", "aria-rowindex": 1 });
  const nothing = h("p", { class: "nothing", hidden: true });
  host.append(canvas, nothing);
  // In a blind review pictures of volumes would tell the first reason: there is a list of names.
  const bare = Boolean(one.data.shuffled) && !one.data.thumb.some(Boolean);
  host.classList.toggle("bare", bare);
  let rows = [];
  let view = "";
  let opened = -1; // the row whose case is open beside the sheet
  let current = 0; // the place in the list that the Tab key reaches
  const shown = new Map(); // place in the list -> element

  function update() {
    rows = queue.rows();
    for (const element of shown.values()) element.remove();
    shown.clear();
    current = 0;
    host.scrollTop = 0;
    host.dataset.view = view = state.view;
    const table = view === "table";
    canvas.setAttribute("role", rows.length ? (table ? "table" : "list") : "presentation");
    canvas.setAttribute("aria-label", "Cases");
    if (table) {
      canvas.setAttribute("aria-rowcount", rows.length + 1);
      makeHead();
      canvas.prepend(head);
    } else {
      canvas.removeAttribute("aria-rowcount");
      head.remove();
    }
    canvas.hidden = !rows.length;
    nothing.hidden = rows.length > 0;
    if (!rows.length) {
      nothing.replaceChildren(state.search.trim() ? `No case matches “${state.search.trim()}”. ` : "No case is left. ",
        h("button", { type: "button", onclick: () => queue.set({ search: "", show: "all", ranges: {} }) }, "Show all cases"));
    }
    paint();
  }

  function measure() {
    if (view === "table") return { across: 1, width: 0, height: 30, top: 34 };
    if (bare) return { across: 1, width: host.clientWidth - 10, height: 30, top: 0 };
    const across = Math.max(2, Math.floor(host.clientWidth / 148));
    const width = Math.floor((host.clientWidth - 10) / across);
    return { across, width, height: width + 46, top: 0 };
  }

  function paint() {
    const { across, width, height, top } = measure();
    canvas.style.height = `${top + Math.ceil(rows.length / across) * height}px`;
    const first = Math.max(0, Math.floor((host.scrollTop - top) / height) - 2) * across;
    const last = Math.min(rows.length, (Math.ceil((host.scrollTop + host.clientHeight) / height) + 2) * across);
    for (const [place, element] of shown) {
      if ((place < first || place >= last) && !element.contains(document.activeElement)) {
        element.remove();
        shown.delete(place);
      }
    }
    let before = view === "table" ? head : null; // keeps the order of the elements, and with it what is read aloud
    for (let place = first; place < last; place += 1) {
      let element = shown.get(place);
      if (!element) {
        element = view === "table" ? line(place) : tile(place, width);
        shown.set(place, element);
        if (before) before.after(element);
        else canvas.prepend(element);
      }
      element.style.top = `${top + Math.floor(place / across) * height}px`;
      if (width) {
        element.style.left = `${(place % across) * width}px`;
        element.style.width = `${width - 8}px`;
      }
      before = element;
    }
  }

  // One Tab stop for the whole sheet; the arrows go on from there.
  function link(place, ...children) {
    const row = rows[place];
    return h("a", {
      href: hooks.link(row), tabindex: place === current ? 0 : -1, "data-row": row,
      onmouseenter: () => hooks.hover(row), onmouseleave: () => hooks.hover(null),
      onfocus: () => { hooks.hover(row); reach(place); }, onblur: () => hooks.hover(null),
    }, ...children);
  }

  function reach(place) {
    const before = shown.get(current);
    if (before) before.querySelector("a").tabIndex = -1;
    current = place;
    shown.get(place).querySelector("a").tabIndex = 0;
  }

  function reveal(place) {
    const { across, height, top } = measure();
    const y = top + Math.floor(place / across) * height;
    if (y - top < host.scrollTop) host.scrollTop = y - top;
    else if (y + height > host.scrollTop + host.clientHeight) host.scrollTop = y + height - host.clientHeight;
  }

  function focus(place) {
    if (place < 0 || place >= rows.length) return;
    reveal(place);
    paint();
    shown.get(place).querySelector("a").focus({ preventScroll: true });
  }

  host.addEventListener("keydown", (event) => {
    if (ALEASEG.typing(event) || !event.target.matches("[data-row]")) return;
    const { across } = measure();
    const page = across * Math.max(1, Math.floor(host.clientHeight / measure().height));
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, PageDown: page, PageUp: -page }[event.key];
    const to = event.key === "Home" ? 0 : event.key === "End" ? rows.length - 1 : step ? Math.min(rows.length - 1, Math.max(0, current + step)) : null;
    if (to === null) return;
    event.preventDefault();
    focus(to);
  });

  function tile(place, width) {
    const row = rows[place];
    const value = state.sort === "case" || !one.has(state.sort) ? "" : one.format(state.sort, one.value(state.sort, row));
    return h("div", { class: `tile is-${one.axis(row)}${row === opened ? " open" : ""}`, role: "listitem", "aria-setsize": rows.length, "aria-posinset": place + 1 },
      link(place, h("span", { class: "frame" }, bare ? null : thumb(one, row, width - 8), hooks.badge(row)),
        h("span", { class: "id", title: one.data.case[row] }, one.short(row)),
        h("span", { class: "under" }, one.has("doubt")
          ? [meter("label", "label doubt", one.value("label_doubt", row)), meter("image", "image doubt", one.value("image_doubt", row))]
          : null, h("span", { class: "value" }, value))));
  }

  function line(place) {
    const row = rows[place];
    const cells = columns.map((name) => h("span", {
      role: "cell", class: `number ${one.above(name, row) && name.endsWith("doubt") ? "strong" : ""}`,
    }, one.format(name, one.value(name, row))));
    return h("div", { class: `row is-${one.axis(row)}`, role: "row", "aria-rowindex": place + 2 },
      h("span", { role: "cell", class: "id" }, link(place, one.data.case[row]), hooks.badge(row)), cells,
      h("span", { role: "cell", class: "reasons" }, one.text("error", row) || one.reasons(row).map((reason) => reason.sentence).join("; ")));
  }

  function makeHead() {
    const cell = (name, title, kind) => h("span", {
      role: "columnheader", class: kind, title: name === "case" ? null : one.title(name),
      "aria-sort": state.sort === name ? (state.down ? "descending" : "ascending") : "none",
    }, h("button", { type: "button", onclick: () => queue.set(state.sort === name ? { down: !state.down } : { sort: name }) },
      title, state.sort === name ? (state.down ? " ↓" : " ↑") : ""));
    head.replaceChildren(cell("case", "Case", "id"), ...columns.map((name) => cell(name, one.head(name), "number")),
      h("span", { role: "columnheader", class: "reasons" }, "Reasons"));
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
  // Draw anew what is on the screen, where it is.
  function repaint() {
    for (const element of shown.values()) element.remove();
    shown.clear();
    paint();
  }

  // Show which case is open, and have it on the screen.
  function open(row) {
    opened = row;
    const place = rows.indexOf(row);
    if (place >= 0) {
      current = place;
      reveal(place);
    }
    repaint();
  }

  queue.on(update);
  update();
  return { update, repaint, open };
};
