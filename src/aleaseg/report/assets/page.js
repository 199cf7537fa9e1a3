// What both pages share: data that arrive as scripts, elements, numbers.
// Data are text to this page: they go in through textContent, never as markup.
"use strict";

// oxlint-disable-next-line no-unused-vars -- the other scripts begin with it
const ALEASEG = (() => {
  const arrived = new Map();
  const waiting = new Map();

  // Called by every data file.
  function receive(kind, key, value) {
    const name = `${kind}/${key}`;
    arrived.set(name, value);
    if (waiting.has(name)) waiting.get(name)(value);
    waiting.delete(name);
  }

  // The value a data file brings; loads it once, when it is first asked for.
  function get(kind, key, path) {
    const name = `${kind}/${key}`;
    if (arrived.has(name)) return Promise.resolve(arrived.get(name));
    return new Promise((resolve, reject) => {
      waiting.set(name, resolve);
      loadScript(path).catch(() => {
        waiting.delete(name);
        reject(new Error(`${path} is missing`));
      });
    });
  }

  function loadScript(path) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = path;
      script.onload = resolve;
      script.onerror = reject;
      document.head.append(script);
    });
  }

  // h("a", {href: "x", class: "y", onclick: f}, "text", child): an element.
  function h(tag, attributes, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }

  function svg(tag, attributes, ...children) {
    return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  }

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return element;
  }

  // With a real minus sign.
  function number(value, digits = 3) {
    return plainNumber(value, digits).replaceAll("-", "\u2212");
  }

  function plainNumber(value, digits) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    const size = Math.abs(value);
    if (size >= 1e5 || (size > 0 && size < 1e-3)) {
      const [mantissa, exponent] = value.toExponential(1).split("e");
      return size >= 1e5 && size < 1e9 ? Math.round(value).toLocaleString("en") : `${mantissa}·10^${Number(exponent)}`;
    }
    if (Number.isInteger(value)) return value.toLocaleString("en");
    return size >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));
  }

  // A score in [0, 1] always has two decimals.
  function score(value) {
    return value === null || value === undefined ? "–" : value.toFixed(2);
  }

  // Where a page's data come from: here from files beside it. What shows them asks this object alone,
  // so that the same parts can be fed by something else.
  const files = {
    index: () => get("index", "", "data/index.js"),
    case: (hash) => get("case", hash, `cases/${hash}.js`),
    pictures: (hash) => get("pictures", hash, `pictures/${hash}.js`),
    thumb: (hash) => `thumbs/${hash}.webp`,
    mosaic: (hash, background) => `mosaics/${hash}${background ? ".background" : ""}.webp`,
    // `asked` is the order and the filter that the reader comes with, as the queue writes them.
    link: (hash, asked) => `case.html#${hash}${asked ? `?${asked}` : ""}`,
  };

  // The columns and rows that an index brings, and where more of each case comes from.
  function table(data, source = files) {
    const text = (name, row) => data[name].texts[data[name].codes[row]];
    const value = (name, row) => (data.numbers[name] ? data.numbers[name][row] : null);
    const column = Object.fromEntries(data.columns.map((one) => [one.name, one]));
    const above = (name, row) => (value(name, row) ?? 0) > data.half;
    // fine, label, image or both
    const axis = (row) => {
      const label = above("label_doubt", row);
      const image = above("image_doubt", row);
      return label && image ? "both" : label ? "label" : image ? "image" : "fine";
    };
    return {
      data, source, text, value, column, above, axis,
      short: shortIds(data.case),
      plane: (row) => text("plane", row),
      // [{axis, sentence, detail}], the most important first
      reasons: (row) => data.reasons.rows[row].map((place) => {
        const [of, sentence, detail] = data.reasons.texts[place];
        return { axis: of, sentence, detail };
      }),
      count: data.case.length,
      has: (name) => Object.hasOwn(data.numbers, name),
      failed: (row) => ["failed", "killed"].includes(text("status", row)),
      link: (row, asked) => source.link(data.hash[row], asked),
      title: (name) => (column[name] ? column[name].title : name),
      head: (name) => (column[name] ? column[name].short : name),
      // As an axis or the head of a table has them; everything about a column comes from the manifest.
      direction: (name) => (column[name] && column[name].sign ? column[name].direction : ""),
      sign: (name) => (column[name] ? column[name].sign : 0),
      withUnit: (name) => (column[name] && column[name].unit ? `${column[name].title} (${column[name].unit})` : column[name] ? column[name].title : name),
      withDirection: (name) => (column[name] && column[name].sign ? `${column[name].title} (${column[name].direction})` : column[name] ? column[name].title : name),
      format: (name, number_) => (column[name] && column[name].unit_range ? score(number_) : number(number_)),
    };
  }

  // A bar from 0 to 1 with a tick at 0.5.
  function meter(axis, title, value) {
    const bar = h("span", { class: `meter is-${axis}`, role: "img", "aria-label": `${title} ${score(value)}` }, h("i"));
    if (value !== null && value !== undefined) bar.firstChild.style.width = `${100 * value}%`;
    else bar.classList.add("empty");
    return bar;
  }

  function thumb(one, row, size) {
    if (!one.data.thumb[row]) return h("span", { class: "no-picture" }, one.failed(row) ? "not scored" : "no picture");
    return h("img", {
      src: one.source.thumb(one.data.hash[row]), loading: "lazy", decoding: "async", width: size, height: size,
      alt: `${one.data.case[row]}${one.plane(row) ? `: ${one.plane(row)}` : ""}`,
    });
  }

  // Ids without what all of them begin with, up to a sign that parts words: a narrow picture has room for the rest.
  function shortIds(ids) {
    let length = ids.length > 1 ? ids[0].length : 0;
    for (const id of ids) while (length && !id.startsWith(ids[0].slice(0, length))) length -= 1;
    while (length && !"_-. /".includes(ids[0][length - 1])) length -= 1;
    return (row) => (length > 3 ? `…${ids[row].slice(length)}` : ids[row]);
  }

  // Buttons of which one is pressed. `press(name)` on the group presses one from outside.
  function chips(choices, first, choose, host) {
    const group = host || h("span", { class: "chips", role: "group" });
    group.press = (name) => {
      for (const button of group.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.choice === name));
    };
    for (const [name, title] of Object.entries(choices)) {
      group.append(h("button", {
        type: "button", class: "chip", "data-choice": name,
        onclick: () => {
          group.press(name);
          choose(name);
        },
      }, title));
    }
    group.press(first);
    return group;
  }

  // A button that puts a text into the clipboard and says so.
  function copier(title, text) {
    const button = h("button", { type: "button", class: "copy", onclick: async () => {
      const said = await copied(text());
      button.textContent = said ? "copied" : "could not copy";
      setTimeout(() => { button.textContent = title; }, 1500);
    } }, title);
    return button;
  }

  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // A browser that gives no clipboard to a page from disk.
      const area = h("textarea", { class: "off" });
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  }

  // Whether a key belongs to a field that is typed into, or to the browser.
  function typing(event) {
    return event.ctrlKey || event.metaKey || event.altKey
      || event.target.matches("input:not([type=checkbox]), select, textarea");
  }

  return { receive, get, h, svg, number, score, files, table, meter, thumb, chips, copier, typing };
})();
