// Slices of the case that is looked at, as they hang: fetched once, kept while there is room; cut out of a small volume.
"use strict";

// `fetched(path)` is a promise of a response; `hash` says which case; `planes` how its slices across each axis hang.
ALEASEG.slices = (hash, planes = [], fetched = (path) => fetch(path)) => {
  const KINDS = { "|u1": Uint8Array, "<u1": Uint8Array, "<u2": Uint16Array, "<i2": Int16Array, "<i4": Int32Array, "<f4": Float32Array };
  const MOST_BYTES = 192 << 20;
  const kept = new Map(); // key -> {data, rows, columns}; the order is that of use
  const waiting = new Map(); // key -> promise
  const wholes = new Map(); // kind and channel -> {data, shape}; null while it is on its way, or did not come
  let bytes = 0;
  let over = false;

  const name = (kind, axis, k, channel) => `${kind}/${axis}/${k}?channel=${kind === "image" ? channel : 0}`;

  // What is there already; null where it is yet to come.
  function peek(kind, axis, k, channel = 0) {
    const key = name(kind, axis, k, channel);
    const found = kept.get(key);
    if (!found) {
      const all = wholes.get(`${kind}?channel=${kind === "image" ? channel : 0}`);
      return all ? keep(key, cut(all, planes[axis], k)) : null;
    }
    kept.delete(key);
    kept.set(key, found);
    return found;
  }

  // A slice of a volume as it hangs.
  function cut({ data, shape }, plane, k) {
    const strides = [shape[1] * shape[2], shape[2], 1];
    const [rows, columns] = [shape[plane.rows], shape[plane.columns]];
    const found = new data.constructor(rows * columns);
    const [down, across] = [plane.flip_rows ? -strides[plane.rows] : strides[plane.rows], plane.flip_columns ? -strides[plane.columns] : strides[plane.columns]];
    let line = k * strides[plane.axis] + (down < 0 ? -down * (rows - 1) : 0) + (across < 0 ? -across * (columns - 1) : 0);
    for (let row = 0, to = 0; row < rows; row += 1, line += down) {
      for (let column = 0, from = line; column < columns; column += 1, from += across, to += 1) found[to] = data[from];
    }
    return { data: found, rows, columns };
  }

  // Have all of a small volume here: its slices then come at once. Asked again, it does nothing.
  async function whole(kind, channel = 0) {
    const key = `${kind}?channel=${kind === "image" ? channel : 0}`;
    if (wholes.has(key)) return;
    wholes.set(key, null);
    try {
      const answer = await fetched(`/api/case/${hash}/whole/${key}`);
      if (answer.status === 200 && !over) wholes.set(key, await read(answer));
    } catch { // its slices come one by one, and say what is the matter
    }
  }

  async function read(answer) {
    const data = new KINDS[answer.headers.get("x-kind")](await answer.arrayBuffer());
    return { data, shape: answer.headers.get("x-shape").split(",").map(Number) };
  }

  // A promise of a slice; of null where it is not decoded yet.
  function get(kind, axis, k, channel = 0) {
    const found = peek(kind, axis, k, channel);
    if (found) return Promise.resolve(found);
    const key = name(kind, axis, k, channel);
    if (!waiting.has(key)) waiting.set(key, load(key).finally(() => waiting.delete(key)));
    return waiting.get(key);
  }

  async function load(key) {
    const answer = await fetched(`/api/case/${hash}/slice/${key}`);
    if (answer.status === 202 || over) return null;
    if (!answer.ok) throw new Error((await answer.json()).error);
    const { data, shape: [rows, columns] } = await read(answer);
    return keep(key, { data, rows, columns });
  }

  function keep(key, one) {
    kept.set(key, one);
    bytes += one.data.byteLength;
    for (const [oldest, gone] of kept) {
      if (bytes <= MOST_BYTES) break;
      kept.delete(oldest);
      bytes -= gone.data.byteLength;
    }
    return one;
  }

  return { get, peek, whole, stop: () => { over = true; kept.clear(); wholes.clear(); } };
};
