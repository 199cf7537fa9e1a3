// The group page: its parts, and what passes between them.
"use strict";

(async () => {
  const { h, thumb, plots } = ALEASEG;
  const data = await ALEASEG.files.index();
  const one = ALEASEG.table(data);
  const all = [...Array(one.count).keys()];
  const byId = (id) => document.getElementById(id);
  const flags = ALEASEG.flags(one);
  const queue = ALEASEG.queue(one, flags.has);

  // The order and the filter stand in the address: Back finds them again, and so does the page of a case.
  queue.read(location.hash.slice(1));
  const keepAddress = () => history.replaceState(null, "", queue.address() ? `#${queue.address()}` : location.pathname + location.search);
  queue.on(keepAddress);
  addEventListener("hashchange", () => { if (location.hash.slice(1) !== queue.address()) queue.read(location.hash.slice(1)); });
  for (const link of document.querySelectorAll(".jump a, a[href^='#']")) {
    link.addEventListener("click", (event) => {
      const target = byId(link.getAttribute("href").slice(1));
      if (!target) return;
      event.preventDefault(); // the address is the queue's
      target.scrollIntoView();
      target.setAttribute("tabindex", "-1");
      target.focus({ preventScroll: true });
    });
  }

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
    tip.style.top = `${below ? event.clientY + 16 : Math.max(8, event.clientY - 16 - tip.offsetHeight)}px`;
  }
  const leave = () => { tip.hidden = true; };
  const open = (row) => { location.href = one.link(row, queue.address()); };
  const dots = { hover, leave, open, range: queue.range };

  // -- flags ---------------------------------------------------------------------------------
  const badge = (row) => (flags.has(row) ? h("span", { class: "badge" }, "flagged") : null);
  function flagButton(row) {
    const button = h("button", { type: "button", class: "flag", "data-flag": row, onclick: () => flags.toggle(row) }, "flag");
    button.setAttribute("aria-pressed", String(flags.has(row)));
    button.setAttribute("aria-label", `Flag ${data.case[row]}`);
    return button;
  }
  function showFlags() {
    for (const button of document.querySelectorAll("[data-flag]")) button.setAttribute("aria-pressed", String(flags.has(Number(button.dataset.flag))));
    const count = flags.ids().length;
    byId("flagged").hidden = !count;
    byId("flagged-count").textContent = `${count} flagged`;
  }
  byId("flagged-buttons").append(ALEASEG.copier("copy the list", flags.text),
    h("button", { type: "button", onclick: flags.download }, "download"),
    h("button", { type: "button", onclick: flags.clear }, "clear"));

  // -- parts ---------------------------------------------------------------------------------
  ALEASEG.cards(one, all, {
    mark: plots.mark, badge, flag: flagButton,
    link: (row, axis) => one.link(row, queue.address({ search: "", ranges: {}, sort: "doubt", down: true, show: axis === "all" ? "suspects" : axis })),
  });
  ALEASEG.distributions(one, all, dots);
  ALEASEG.controls(one, queue, byId("sheet-controls"), byId("sheet-count"));
  const sheet = ALEASEG.sheet(one, queue, byId("sheet"), { hover: plots.mark, badge, link: (row) => one.link(row, queue.address()) });
  const keep = () => {
    const kept = queue.narrowed() ? new Set(queue.rows()) : null;
    plots.keep(kept && ((row) => kept.has(row)), queue.state.ranges);
  };
  queue.on(keep);
  keep();
  flags.on(() => {
    showFlags();
    if (queue.state.show === "flagged") queue.set({});
    else sheet.update();
  });
  showFlags();
  addEventListener("keydown", (event) => {
    const at = document.activeElement && document.activeElement.closest("[data-row]");
    if (event.key === "f" && !ALEASEG.typing(event) && at) flags.toggle(Number(at.dataset.row));
    if (event.key === "/" && !ALEASEG.typing(event)) {
      event.preventDefault();
      byId("search").focus();
    }
  });

  ALEASEG.confounds(one, all, dots);
  ALEASEG.spectra(one);
  ALEASEG.gallery(one, all);

  // -- what is next --------------------------------------------------------------------------
  const doubtful = all.filter((row) => one.above("doubt", row));
  for (const element of document.querySelectorAll("[data-copy]")) {
    element.append(ALEASEG.copier("copy", () => document.getElementById(element.dataset.copy).textContent));
  }
  if (byId("doubtful-ids")) {
    byId("doubtful-ids").append(ALEASEG.copier("copy their ids", () => doubtful.map((row) => `${data.case[row]}\n`).join("")));
  }
  document.body.dataset.ready = String(Math.round(performance.now())); // ms from the click
})();
