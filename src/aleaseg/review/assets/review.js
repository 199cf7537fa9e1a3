// The review: a queue, a case in three planes, decisions; and what passes between them.
"use strict";

(async () => {
  const { h, score, meter, VERDICTS } = ALEASEG;
  const byId = (id) => document.getElementById(id);
  const json = async (path) => {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 200));
    return answer.json();
  };
  const [about, data] = await Promise.all([json("/api/run"), json("/api/queue")]);
  const source = {
    case: (hash) => json(`/api/case/${hash}`),
    thumb: (hash) => `/api/case/${hash}/picture/thumb`,
    link: (hash) => `#${hash}`,
  };
  ALEASEG.lookingColumns(data, about.blind);
  const one = ALEASEG.table(data, source);
  const classes = about.classes.map((each, place) => ({ ...each, ...data.classes[place] }));
  const kept = (name, value) => (value === undefined ? localStorage.getItem(`aleaseg ${name}`) : localStorage.setItem(`aleaseg ${name}`, value));
  const session = crypto.randomUUID();
  let rater = about.rater;
  let blind = about.blind;
  let row = -1;
  const looking = { since: 0, ms: 0 }; // how long the case has been looked at; what passes while the page is hidden does not count
  let history = [];
  const done = []; // what this page did and did not yet take back

  // -- decisions -------------------------------------------------------------------------------
  const verdicts = ALEASEG.verdicts(() => rater);
  const outbox = ALEASEG.outbox(data.key, async (events) => {
    const answer = await fetch("/api/events", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(events) });
    return { status: answer.status, body: await answer.json().catch(() => null) };
  });
  const hash = () => data.hash[row];

  function event(kind, more = {}) {
    const made = {
      uuid: crypto.randomUUID(), at: new Date().toISOString(), rater, session, case: hash(), kind, blind,
      seconds: Math.round((looking.ms + performance.now() - looking.since) / 100) / 10, ...more,
    };
    if (kind !== "open") done.push(made);
    outbox.add(made);
  }

  function decide(verdict, of) {
    if (row < 0) return;
    panel.save();
    const before = verdicts.mine(hash(), of);
    if (!verdict || (before && before.verdict === verdict && !before.stale)) {
      takeBack(of);
      return;
    }
    verdicts.put(hash(), of, verdict);
    event("verdict", { verdict, class: of });
    if (!of && byId("onward").checked) go(1);
  }

  // Pressed again, a verdict is given up.
  function takeBack(of) {
    const mine = [...history].reverse().find((each) => each.kind === "verdict" && each.rater === rater && each.class === of && !each.undone);
    if (mine) undo(mine);
  }

  // What was done last, on whichever case; else what holds of this one.
  function undo(given) {
    const held = () => [...history].reverse().find((each) => each.rater === rater && !each.undone && ["verdict", "reasons", "note"].includes(each.kind));
    const target = given || done[done.length - 1] || held();
    if (!target) return;
    const at = done.findIndex((each) => each.uuid === target.uuid);
    if (at >= 0) done.splice(at, 1);
    const on = target.case || hash();
    outbox.add({
      uuid: crypto.randomUUID(), at: new Date().toISOString(), rater, session, case: on, class: target.class || "", kind: "undo", undoes: target.uuid, blind,
    });
    if (target.kind === "verdict") verdicts.put(on, target.class || "", null);
    say(`Taken back: ${target.kind === "verdict" ? VERDICTS[target.verdict].word : target.kind}`);
    if (on !== hash()) location.hash = on;
  }

  const panel = ALEASEG.panel({
    verdicts: byId("verdicts"), tags: byId("tags"), note: byId("note"), classes: byId("class-verdicts"), history: byId("history"), said: byId("stale"),
  }, classes, {
    decide, undo,
    tags: (codes) => event("reasons", { payload: { codes } }),
    note: (text) => event("note", { payload: { text } }),
  });

  // What the server holds, as far as it is news.
  async function refresh() {
    try {
      const asked = new URLSearchParams({ since: verdicts.last, rater });
      const answer = await json(`/api/holding?${asked}`);
      if (answer.cases.length || answer.last > verdicts.last) verdicts.take(answer);
      reapply();
    } catch { // the outbox says that the server does not answer
    }
  }

  // What was decided here and is not yet saved lies over what the server knows.
  function reapply() {
    const unsent = outbox.events();
    for (const each of unsent) if (each.kind === "verdict" && each.rater === rater) verdicts.put(each.case, each.class || "", each.verdict);
  }

  async function showHistory() {
    const here = hash();
    try {
      const asked = new URLSearchParams({ case: here, rater });
      const found = (await json(`/api/events?${asked}`)).events;
      if (here !== hash()) return;
      history = found;
      panel.show(blind ? found.filter((each) => each.rater === rater) : found, rater);
    } catch { // as above
    }
  }

  outbox.on((box, saved) => {
    const left = box.count;
    byId("unsaved").hidden = !box.problem && !left;
    byId("unsaved").classList.toggle("bad", Boolean(box.problem));
    byId("unsaved").textContent = box.problem
      ? `Not saved: ${box.problem}.${left ? ` ${left} decision${left === 1 ? " is" : "s are"} kept in this browser and sent again.` : ""}` : `${left} on the way`;
    if (saved) {
      refresh();
      controls.decided();
      if (row >= 0) showHistory();
    }
    document.body.dataset.unsent = String(left);
  });
  addEventListener("online", outbox.flush);
  addEventListener("beforeunload", (leaving) => {
    panel.save();
    if (outbox.count) leaving.preventDefault();
  });

  // -- the queue -------------------------------------------------------------------------------
  const of = (place) => data.hash[place];
  const queue = ALEASEG.queue(one, () => false, {
    undecided: (place) => !verdicts.mine(of(place)),
    decided: (place) => Boolean(verdicts.mine(of(place))),
    disputed: (place) => verdicts.disputed(of(place)),
    stale: (place) => verdicts.stale(of(place)),
  });
  function badge(place) {
    const mine = verdicts.mine(of(place));
    const others = blind ? [] : verdicts.others(of(place));
    if (!mine && !others.length) return null;
    const words = [mine ? `you: ${VERDICTS[mine.verdict].word}` : "", ...others.map((each) => `${each.rater}: ${VERDICTS[each.verdict].word}`), verdicts.stale(of(place)) ? "the mask has changed since" : ""];
    const text = [mine ? VERDICTS[mine.verdict].sign : "", others.map((each) => VERDICTS[each.verdict].sign).join("")].filter(Boolean).join(" | ");
    return h("span", { class: `badge verdict-${mine ? mine.verdict : "other"} ${verdicts.stale(of(place)) ? "stale" : ""}`, title: words.filter(Boolean).join("; ") }, text);
  }
  const sheet = ALEASEG.sheet(one, queue, byId("sheet"), { link: (place) => one.link(place), hover: () => {}, badge });
  const controls = ALEASEG.reviewControls(one, queue, byId("queue-controls"), () => json(`/api/looking?${new URLSearchParams({ rater })}`));

  function counted() {
    const all = one.count;
    const decided = data.hash.filter((each) => verdicts.mine(each)).length;
    byId("count").textContent = `${decided.toLocaleString("en")} of ${all.toLocaleString("en")} decided`;
    const at = queue.rows().indexOf(row);
    byId("place").textContent = at < 0 ? "" : `${at + 1} of ${queue.rows().length}`;
  }
  let asked = false;
  verdicts.on((hashes) => {
    if (hashes.includes(hash())) panel.press(blind ? verdicts.all(hash()).filter((each) => each.rater === rater) : verdicts.all(hash()), rater);
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      // A case that was just decided stays where it is until the filter is chosen anew.
      sheet.repaint();
      counted();
    });
  });
  queue.on(counted);

  function go(count) {
    panel.save();
    const rows = queue.rows();
    const at = rows.indexOf(row);
    const next = rows[at < 0 ? 0 : at + count];
    if (next !== undefined) location.hash = of(next);
    else say(count > 0 ? "That was the last case of the list." : "That is the first case of the list.");
  }

  // -- a case ----------------------------------------------------------------------------------
  const viewer = ALEASEG.volumeViewer({
    planes: byId("planes"), toggles: byId("toggles"), bar: byId("bar"), probe: byId("probe"), caption: byId("caption"),
  }, classes, about, (volume_, hidden, seen) => solid.open(volume_, hash(), hidden, seen));
  const solid = ALEASEG.solid(byId("solid"), { ways: byId("solid-ways"), pictures: byId("solid-pictures"), controls: byId("solid-controls") }, classes, about, (voxel) => viewer.go(voxel));
  let reasons = [];
  let nextReason = 0;

  async function show() {
    const asked = location.hash.slice(1);
    const found = data.hash.indexOf(asked);
    if (found < 0) {
      const rows = queue.rows();
      const first = rows.find((place) => !verdicts.mine(of(place))) ?? rows[0];
      if (first !== undefined) location.replace(`#${of(first)}`);
      return;
    }
    row = found;
    [looking.since, looking.ms, history, nextReason] = [performance.now(), 0, [], 0];
    const here = row;
    byId("case-id").textContent = data.case[row];
    document.title = `${data.case[row]} · review`;
    document.body.dataset.case = "";
    numbers(null);
    viewer.clear(one.data.thumb[row] ? h("img", { src: source.thumb(hash()), alt: "the report's picture", class: "waiting" }) : null, "The images are being read.");
    panel.press(blind ? verdicts.all(hash()).filter((each) => each.rater === rater) : verdicts.all(hash()), rater);
    sheet.open(row);
    counted();
    showHistory();
    event("open");
    try {
      const about_ = await source.case(of(here));
      if (here !== row) return;
      reasons = about_.reasons;
      numbers(about_);
      await volume(about_.volume, here);
      ahead();
    } catch (error) {
      if (here === row) viewer.clear(`This case cannot be shown: ${error.message}`);
    }
  }

  // Wait for a case to be decoded: its image first, its prediction after it.
  async function volume(first, here) {
    let found = first;
    for (let wait = 60; ; wait = Math.min(1000, wait * 1.5)) {
      if (here !== row) return;
      // Where to look would tell what is doubted.
      if (blind && found.prediction) found = { ...found, prediction: { ...found.prediction, places: [], doubt: null } };
      if (found.image) {
        viewer.show(found, of(here));
        document.body.dataset.case = of(here);
        document.body.dataset.whole = found.prediction ? of(here) : "";
      } else if (found.error) viewer.clear(found.error);
      if (found.prediction) {
        linkReasons(found.prediction.places);
        return;
      }
      if (found.error) return;
      await new Promise((resolve) => { setTimeout(resolve, wait); });
      const next = await json(`/api/case/${of(here)}/volume`);
      // What has not changed is not shown again.
      while (Boolean(next.image) === Boolean(found.image) && !next.prediction && !next.error) {
        await new Promise((resolve) => { setTimeout(resolve, wait); });
        if (here !== row) return;
        wait = Math.min(1000, wait * 1.5);
        Object.assign(next, await json(`/api/case/${of(here)}/volume`));
      }
      found = next;
    }
  }

  // The two cases that are likely to be next.
  function ahead() {
    const rows = queue.rows();
    const at = rows.indexOf(row);
    const next = rows.slice(at + 1, at + 3).map(of);
    if (next.length) fetch("/api/prefetch", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(next) }).catch(() => {});
  }

  function numbers(found) {
    const hidden = blind || !found;
    byId("doubts").replaceChildren(...(hidden || !one.has("doubt") || one.value("doubt", row) === null ? [] : [["label", "Label doubt"], ["image", "Image doubt"]].flatMap(([name, title]) => [
      h("span", {}, title), meter(name, title, one.value(`${name}_doubt`, row)), h("span", { class: "value" }, score(one.value(`${name}_doubt`, row)))])));
    const list = byId("reasons");
    if (blind) {
      list.replaceChildren(h("li", { class: "muted" }, "Blind: scores, reasons and other raters are hidden."));
      return;
    }
    list.replaceChildren(...(found ? found.reasons : []).map((reason) => h("li", { class: `is-${reason.axis}` },
      h("b", { class: "axis" }, reason.axis), " ", h("span", { class: "sentence" }, reason.sentence),
      reason.detail ? h("small", { title: data.z }, ` ${reason.detail.replace("-", "−")}`) : null)));
    if (found && found.error) list.append(h("li", { class: "bad" }, found.error));
    else if (found && !found.reasons.length) list.append(h("li", { class: "muted" }, "Nothing stands out."));
  }

  let places = [];
  function linkReasons(found) {
    places = found;
    document.querySelectorAll("#reasons .sentence").forEach((sentence, k) => {
      if (!found[k] || !reasons[k] || found[k].reason !== reasons[k].code) return;
      sentence.replaceWith(h("button", { type: "button", class: "sentence", title: "show it", onclick: () => viewer.look(found[k]) }, sentence.textContent));
    });
  }

  function lookNext() {
    if (!places.length || !viewer.ready()) return;
    nextReason = (nextReason + 1) % places.length;
    viewer.look(places[nextReason]);
  }

  // -- who, how --------------------------------------------------------------------------------
  let saidAt = 0;
  function say(text) {
    byId("said").textContent = text;
    clearTimeout(saidAt);
    saidAt = setTimeout(() => { byId("said").textContent = ""; }, 4000);
  }

  // A name typed here counts where the review is begun again under the same name, not under another one.
  const ofRater = `rater ${data.key} ${about.rater}`;
  byId("rater").value = rater;
  byId("rater").addEventListener("change", async () => {
    const name = byId("rater").value.trim().slice(0, 64);
    if (!name) {
      byId("rater").value = rater;
      return;
    }
    rater = name;
    kept(ofRater, rater);
    done.length = 0;
    verdicts.clear();
    await refresh();
    show();
  });
  if (kept(ofRater)) byId("rater").value = rater = kept(ofRater);

  function setBlind(on) {
    blind = about.blind || on;
    byId("blind").checked = blind;
    byId("blind").disabled = about.blind;
    document.body.classList.toggle("is-blind", blind);
    sheet.update();
    if (row >= 0) show();
  }
  byId("blind").addEventListener("change", () => setBlind(byId("blind").checked));
  byId("onward").checked = kept("onward") !== "no";
  byId("onward").addEventListener("change", () => kept("onward", byId("onward").checked ? "yes" : "no"));
  byId("previous").addEventListener("click", () => go(-1));
  byId("next").addEventListener("click", () => go(1));
  byId("undo").addEventListener("click", () => undo());
  byId("help-button").addEventListener("click", () => byId("help").showModal());
  const together = ALEASEG.together(byId("together"), {
    agreement: byId("agreement"), out: byId("out"), file: byId("file"), read: byId("read"),
  }, (id) => data.hash[data.case.indexOf(id)], refresh);
  byId("together-button").addEventListener("click", together.open);
  byId("drawer").addEventListener("click", () => document.body.classList.toggle("drawer-open"));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) looking.ms += performance.now() - looking.since;
    else looking.since = performance.now();
  });

  addEventListener("keydown", (pressed) => {
    if (pressed.key === "Escape" && ALEASEG.typing(pressed)) pressed.target.blur();
    if (ALEASEG.typing(pressed) || document.querySelector("dialog[open]")) return;
    const verdict = Object.keys(VERDICTS).find((each) => VERDICTS[each].key === pressed.key);
    const does = {
      j: () => go(1), k: () => go(-1), r: lookNext, u: () => undo(), b: () => { if (!about.blind) setBlind(!blind); },
      f: panel.focusTags, n: panel.focusNote, "/": () => byId("search").focus(), "?": () => byId("help").showModal(),
      " ": () => viewer.hide(true),
    }[pressed.key.length === 1 ? pressed.key.toLowerCase() : pressed.key];
    // A button that has the focus keeps its own keys.
    if (pressed.key === " " && pressed.target.matches("button, a, summary, input")) return;
    if (pressed.key.startsWith("Arrow") && pressed.target.matches("input, [data-row]")) return;
    if (verdict) decide(verdict, "");
    else if (does) does();
    else if (!viewer.key(pressed)) return;
    pressed.preventDefault();
  });
  addEventListener("keyup", (released) => { if (released.key === " ") viewer.hide(false); });
  addEventListener("hashchange", () => { document.body.classList.remove("drawer-open"); show(); });

  await refresh();
  setBlind(blind);
  outbox.flush();
  show();
  setInterval(() => { if (!document.hidden) refresh(); }, 5000);
  document.body.dataset.ready = "review";
})();
