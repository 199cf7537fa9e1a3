// Suspects as cards: picture, reasons, both doubts.
"use strict";

ALEASEG.cards = (one, all, hooks) => {
  const { h, meter, thumb, score } = ALEASEG;
  const STEP = 12;
  const MOST = 400; // more are in the sheet
  const byId = (id) => document.getElementById(id);
  const doubtful = all.filter((row) => one.above("doubt", row));
  const few = !one.has("doubt");
  const suspects = doubtful.length ? doubtful : all.filter((row) => !one.failed(row)).slice(0, 10);
  const onAxis = (row, name) => name === "all" || one.axis(row) === name || one.axis(row) === "both";
  let limit = STEP;
  let axis = "all";

  byId("suspects-caption").textContent = few
    ? "No population, so no doubt: these are the cases with the lowest Dice with the prediction. Check whether mask or prediction is wrong."
    : doubtful.length
      ? "Cases with doubt above 0.5, the most doubtful first, in the plane and slice that show the first reason. Is the scan bad, is the mask wrong, or is it a rare but sound anatomy?"
      : "No case has doubt above 0.5. These are the ten highest; they may well be sound.";

  function card(row) {
    const reasons = one.reasons(row);
    return h("div", { class: `card is-${one.axis(row)}`, "data-row": row, onmouseenter: () => hooks.mark(row), onmouseleave: () => hooks.mark(null) },
      h("a", { class: "frame", href: hooks.link(row, axis), tabindex: -1, "aria-hidden": "true" }, thumb(one, row, 172), hooks.badge(row),
        one.plane(row) ? h("span", { class: "plane" }, one.plane(row)) : null),
      h("div", { class: "about" },
        h("span", { class: "top-line" }, h("a", { class: "id", href: hooks.link(row, axis) }, one.data.case[row]), hooks.flag(row)),
        reasons.length ? h("ul", {}, reasons.slice(0, 3).map((reason) => h("li", { title: reason.detail ? `${reason.detail} (${one.data.z})` : null, class: `is-${reason.axis}` }, reason.sentence)))
          : few ? null : h("p", { class: "others" }, "No single measure stands out."),
        reasons.length > 3 ? h("span", { class: "others" }, `and ${reasons.length - 3} more`) : null,
        few ? h("span", { class: "muted" }, `${one.title("oof_dice")} ${score(one.value("oof_dice", row))}`)
          : h("span", { class: "meters" }, [["label", "Label"], ["image", "Image"]].map(([name, title]) => [
            h("span", {}, title), meter(name, `${title} doubt`, one.value(`${name}_doubt`, row)),
            h("span", { class: "value" }, score(one.value(`${name}_doubt`, row)))]))));
  }

  // All of them are there, for print too; what lies beyond the limit is not shown.
  function fill() {
    const mine = suspects.filter((row) => onAxis(row, axis)).slice(0, MOST);
    byId("cards").replaceChildren(...mine.map(card));
    if (!mine.length) byId("cards").append(h("p", { class: "note" }, "None on this axis."));
    show();
  }

  function show() {
    const cards = [...byId("cards").querySelectorAll(".card")];
    cards.forEach((element, place) => element.classList.toggle("beyond", place >= limit));
    const more = byId("more-cards");
    more.hidden = cards.length <= limit;
    more.textContent = `Show more (${(cards.length - limit).toLocaleString("en")} left)`;
  }

  byId("more-cards").addEventListener("click", () => {
    limit += 4 * STEP;
    show();
  });
  if (doubtful.length) {
    const count = (name) => suspects.filter((row) => onAxis(row, name)).length;
    ALEASEG.chips({ all: `all ${count("all")}`, image: `image ${count("image")}`, label: `label ${count("label")}` }, "all", (name) => {
      axis = name;
      limit = STEP;
      fill();
    }, byId("suspect-chips"));
  }
  // Pictures are fetched when they come near the screen; those for print once there is time.
  const eager = () => {
    for (const image of byId("cards").querySelectorAll("img")) image.loading = "eager";
  };
  (window.requestIdleCallback || ((call) => setTimeout(call, 2000)))(eager);
  addEventListener("beforeprint", eager);
  fill();
  return { fill, suspects };
};
