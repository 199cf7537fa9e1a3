// Cases that the reader marked. They stay in this browser, and leave it as a list of ids.
"use strict";

ALEASEG.flags = (one) => {
  const KEY = `aleaseg flagged ${one.data.key}`;
  const listeners = [];
  let flagged = read();

  function read() {
    try {
      return new Set(JSON.parse(localStorage.getItem(KEY) || "[]"));
    } catch { // no storage, or not ours
      return new Set();
    }
  }

  function write() {
    try {
      localStorage.setItem(KEY, JSON.stringify([...flagged]));
    } catch { // they last as long as the page does
    }
    for (const listen of listeners) listen();
  }

  function toggle(row) {
    const id = one.data.case[row];
    if (!flagged.delete(id)) flagged.add(id);
    write();
    return flagged.has(id);
  }

  function clear() {
    flagged.clear();
    write();
  }

  const has = (row) => flagged.has(one.data.case[row]);
  const ids = () => one.data.case.filter((id) => flagged.has(id));
  // One id a line: what `aleaseg select --list` reads.
  const text = () => ids().map((id) => `${id}\n`).join("");

  function download() {
    const link = ALEASEG.h("a", { href: URL.createObjectURL(new Blob([text()], { type: "text/plain" })), download: "flagged.txt" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // Another page of this run may have changed them meanwhile.
  const refresh = () => {
    flagged = read();
    for (const listen of listeners) listen();
  };
  addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });
  addEventListener("storage", (event) => { if (event.key === KEY) refresh(); });
  return { has, toggle, clear, ids, text, download, on: (listen) => listeners.push(listen) };
};
