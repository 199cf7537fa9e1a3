// What both pages share: data that arrive as scripts, elements, numbers.
// Data are text to this page: they go in through textContent, never as markup.
"use strict";

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

  // The group page's columns, once its file is there.
  function table(data) {
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
      data, text, value, column, above, axis,
      plane: (row) => text("plane", row),
      // [{axis, sentence, detail}], the most important first
      reasons: (row) => data.reasons.rows[row].map((place) => {
        const [of, sentence, detail] = data.reasons.texts[place];
        return { axis: of, sentence, detail };
      }),
      count: data.case.length,
      has: (name) => name in data.numbers,
      link: (row) => `case.html#${data.hash[row]}`,
      title: (name) => (column[name] ? column[name].title : name),
      short: (name) => (column[name] ? column[name].short : name),
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
    if (!one.data.thumb[row]) return h("span", { class: "no-picture" }, "no picture");
    return h("img", {
      src: `thumbs/${one.data.hash[row]}.webp`, loading: "lazy", decoding: "async", width: size, height: size,
      alt: `${one.data.case[row]}: ${one.plane(row) || "its most telling slice"}`,
    });
  }

  return { receive, get, loadScript, h, svg, number, score, table, meter, thumb };
})();
