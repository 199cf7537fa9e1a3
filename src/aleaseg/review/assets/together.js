// All decisions together: how far raters agree, and files out and in.
"use strict";

ALEASEG.together = (dialog, parts, byCase, changed) => {
  const { h, number } = ALEASEG;

  const interval = (one) => (!one.units ? "–" : one.value === null ? "not defined: all said one thing" : `${one.value.toFixed(2)} (95% ${one.low.toFixed(2)} to ${one.high.toFixed(2)})`.replaceAll("-", "\u2212"));
  const row = (title, one, more) => h("tr", {}, h("th", { scope: "row" }, title), h("td", {}, interval(one)), h("td", { class: "muted" }, `${number(one.units)} case${one.units === 1 ? "" : "s"}${more}`));

  async function open() {
    dialog.showModal();
    parts.agreement.replaceChildren("…");
    const found = await (await fetch("/api/agreement")).json();
    if (found.blind) {
      parts.agreement.replaceChildren("Blind: what others decided is hidden.");
      parts.out.hidden = true;
      return;
    }
    const raters = Object.entries(found.raters);
    const rows = found.cohen.map((one) => row(`${one.raters[0]}, ${one.raters[1]}: Cohen's κ`, one, " decided by both"));
    if (found.more_pairs) rows.push(h("tr", {}, h("td", { colspan: 3, class: "muted" }, `${number(found.more_pairs)} more pairs are not shown`)));
    if (found.fleiss && raters.length > 2) rows.push(row("Fleiss' κ", found.fleiss, " decided by all"));
    if (found.krippendorff) rows.push(row("Krippendorff's α", found.krippendorff, " decided by two or more"));
    parts.agreement.replaceChildren(
      h("p", {}, raters.length ? raters.map(([name, count]) => `${name} ${number(count)}`).join(", ") : "Nobody has decided yet."),
      rows.length ? h("table", { class: "plain" }, h("tbody", {}, rows)) : h("p", { class: "muted" }, "Agreement needs two raters who decided about the same case."),
      ...(found.disputed.length ? [h("p", {}, "They disagree on ", found.disputed.slice(0, 50).flatMap((case_, place) => [
        place ? ", " : "", h("a", { href: `#${byCase(case_)}`, onclick: () => dialog.close() }, case_)]), found.disputed.length > 50 ? ", …" : "")] : []));
  }

  parts.file.addEventListener("change", async () => {
    const file = parts.file.files[0];
    if (!file) return;
    const answer = await fetch("/api/import", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name: file.name, text: await file.text() }) });
    const body = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
    parts.read.textContent = answer.ok ? `${number(body.saved.length)} read in.` : `Nothing was imported: ${body.error}`;
    parts.file.value = "";
    if (answer.ok) {
      await changed();
      await open();
    }
  });
  return { open };
};
