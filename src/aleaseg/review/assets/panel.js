// What a rater does with a case: verdict, reasons, a note, a verdict for each class; and what was done before.
"use strict";

// `parts`: elements verdicts, tags, note, classes, history. `does`: decide(verdict, class), tags(list), note(text), undo(uuid).
ALEASEG.panel = (parts, classes, does) => {
  const { h, VERDICTS } = ALEASEG;
  const TAGS = {
    mask: ["part missing", "too large", "too small", "wrong class", "in pieces", "shifted", "empty"],
    image: ["motion", "noise", "blur", "ghosting", "artefact", "cut off", "wrong scan"],
  };
  let tags = new Set();
  let saving = 0;
  let noted = "";

  for (const [verdict, { key, word, sign }] of Object.entries(VERDICTS)) {
    parts.verdicts.append(h("button", { type: "button", class: "verdict-button", "data-verdict": verdict, "aria-pressed": "false", onclick: () => does.decide(verdict, "") },
      h("span", { class: "sign", "aria-hidden": "true" }, sign), h("span", {}, word), h("kbd", {}, key)));
  }
  for (const [axis, words] of Object.entries(TAGS)) {
    parts.tags.append(h("span", { class: "tag-row" }, h("b", { class: "axis" }, axis), words.map((word) => {
      const name = `${axis}: ${word}`;
      return h("button", { type: "button", class: "chip tag", "data-tag": name, "aria-pressed": "false", onclick: () => {
        if (!tags.delete(name)) tags.add(name);
        pressTags();
        does.tags([...tags]);
      } }, word);
    })));
  }
  const selects = classes.length > 1 ? classes.map((one) => {
    const select = h("select", { "aria-label": `Verdict on ${one.name}`, onchange: () => does.decide(select.value || null, one.name) },
      h("option", { value: "" }, "–"), Object.entries(VERDICTS).map(([verdict, { word }]) => h("option", { value: verdict }, word)));
    const swatch = h("i", { class: "swatch" });
    swatch.style.setProperty("--hue", one.mask);
    parts.classes.append(h("label", { class: "class-row" }, swatch, h("span", {}, one.name), select));
    return [one.name, select];
  }) : [];
  parts.classes.parentElement.hidden = classes.length < 2;

  parts.note.addEventListener("input", () => {
    clearTimeout(saving);
    saving = setTimeout(save, 1200);
  });
  parts.note.addEventListener("blur", save);

  // A note is kept when its writer pauses, and before the case is left.
  function save() {
    clearTimeout(saving);
    if (parts.note.value === noted) return;
    noted = parts.note.value;
    does.note(noted);
  }

  function pressTags() {
    for (const button of parts.tags.querySelectorAll("[data-tag]")) button.setAttribute("aria-pressed", String(tags.has(button.dataset.tag)));
  }

  // `held`: what holds of the case (see verdicts.js); `rater`: who looks.
  function press(held, rater) {
    const mine = (of) => held.find((one) => one.rater === rater && one.class === of);
    const whole = mine("");
    for (const button of parts.verdicts.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(whole !== undefined && whole.verdict === button.dataset.verdict));
    }
    for (const [name, select] of selects) select.value = mine(name) ? mine(name).verdict : "";
    parts.said.textContent = whole && whole.stale ? "The mask has changed since you decided: look again." : "";
  }

  // Tags and note as the rater left them, and all that was done, the newest first.
  function show(events, rater) {
    const own = (kind) => events.filter((one) => one.kind === kind && one.rater === rater && one.class === "" && !one.undone).pop();
    const [of, text] = [own("reasons"), own("note")];
    tags = new Set(of ? of.payload.codes : []);
    noted = text ? text.payload.text : "";
    if (document.activeElement !== parts.note) parts.note.value = noted;
    pressTags();
    const told = events.filter((one) => one.kind !== "open").reverse();
    parts.history.replaceChildren(...told.map((one) => h("li", { class: one.undone ? "undone" : null },
      h("b", {}, one.rater), " ", said(one), " ", h("time", { datetime: one.at, title: one.at }, when(one.at)),
      one.seconds ? h("span", { class: "muted" }, ` after ${Math.round(one.seconds)} s`) : null,
      one.blind ? h("span", { class: "muted" }, " (blind)") : null,
      one.rater === rater && !one.undone && one.kind !== "undo"
        ? h("button", { type: "button", class: "small", onclick: () => does.undo(one) }, "undo") : null)));
    parts.history.parentElement.hidden = !told.length;
  }

  function said(one) {
    const of = one.class ? `${one.class}: ` : "";
    if (one.kind === "verdict") return `${of}${VERDICTS[one.verdict].word}`;
    if (one.kind === "reasons") return `${of}${one.payload.codes.join(", ") || "no reason"}`;
    if (one.kind === "note") return one.payload.text ? `“${one.payload.text}”` : "took the note away";
    return "took something back";
  }

  const when = (at) => new Date(at).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
  return { press, show, save, focusTags: () => parts.tags.querySelector("button").focus(), focusNote: () => parts.note.focus() };
};
