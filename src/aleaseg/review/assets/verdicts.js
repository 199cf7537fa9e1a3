// What holds of each case: verdicts of all raters, as far as this page may know them. It knows no element.
"use strict";

ALEASEG.VERDICTS = {
  keep: { key: "1", word: "keep", sign: "✓" },
  drop: { key: "2", word: "drop", sign: "✕" },
  "re-annotate": { key: "3", word: "annotate again", sign: "✎" },
  "re-scan": { key: "4", word: "scan again", sign: "⟳" },
  "use-prediction": { key: "5", word: "use the prediction", sign: "⇄" },
  unsure: { key: "6", word: "unsure", sign: "?" },
};

ALEASEG.verdicts = (rater) => {
  const held = new Map(); // hash -> [{class, rater, verdict, stale}]
  const listeners = [];
  let last = 0;

  // What the server says of the cases that changed.
  function take(answer) {
    for (const one of answer.cases) held.set(one.hash, one.verdicts);
    last = Math.max(last, answer.last);
    tell(answer.cases.map((one) => one.hash));
  }

  // What was decided here and is not yet back from the server; null: taken back.
  function put(hash, of, verdict) {
    const rest = (held.get(hash) || []).filter((one) => one.rater !== rater() || one.class !== of);
    held.set(hash, verdict ? [...rest, { class: of, rater: rater(), verdict, stale: false }] : rest);
    tell([hash]);
  }

  const tell = (hashes) => { for (const listen of listeners) listen(hashes); };
  const all = (hash) => held.get(hash) || [];
  const whole = (hash) => all(hash).filter((one) => one.class === "");
  const mine = (hash, of = "") => all(hash).find((one) => one.rater === rater() && one.class === of) || null;
  const others = (hash) => whole(hash).filter((one) => one.rater !== rater());
  // Two raters who say different things of the case.
  const disputed = (hash) => new Set(whole(hash).map((one) => one.verdict)).size > 1;
  const stale = (hash) => all(hash).some((one) => one.stale);
  return {
    take, put, all, mine, others, disputed, stale,
    get last() { return last; },
    clear: () => { held.clear(); last = 0; },
    on: (listen) => listeners.push(listen),
  };
};
