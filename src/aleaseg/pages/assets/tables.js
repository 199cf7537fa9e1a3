// Tables that are sorted by a heading. Without this script they stand as they were written.
"use strict";

for (const table of document.querySelectorAll("table.sortable")) {
  const row = table.tHead.rows[table.tHead.rows.length - 1];
  const heads = [...row.cells];
  const body = table.tBodies[0];
  for (const head of heads.filter((cell) => cell.tagName === "TH")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(head));
    head.append(button);
  }

  function sort(head) {
    const place = heads.indexOf(head);
    const key = (line) => line.cells[place].dataset.key;
    const numeric = [...body.rows].every((line) => key(line) === "" || !Number.isNaN(Number(key(line))));
    const before = head.getAttribute("aria-sort");
    // Numbers start with the highest, words with the first.
    const down = before ? before === "ascending" : numeric;
    const compare = (a, b) => (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en"));
    const lines = [...body.rows].sort((one, other) => {
      const [a, b] = [key(one), key(other)];
      if (a === "" || b === "") return (a === "") - (b === ""); // what has no number stays last
      return down ? compare(b, a) : compare(a, b);
    });
    body.append(...lines);
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  }
}
document.body.dataset.ready = "tables";
