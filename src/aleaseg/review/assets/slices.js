// Slices of the case that is looked at, as they hang: fetched once, kept while there is room.
"use strict";

// `fetched(path)` is a promise of a response; `hash` says which case.
ALEASEG.slices = (hash, fetched = (path) => fetch(path)) => {
  const KINDS = { "|u1": Uint8Array, "<u1": Uint8Array, "<u2": Uint16Array, "<i2": Int16Array, "<i4": Int32Array, "<f4": Float32Array };
  const MOST_BYTES = 192 << 20;
  const kept = new Map(); // key -> {data, rows, columns}; the order is that of use
  const waiting = new Map(); // key -> promise
  let bytes = 0;
  let over = false;

  const name = (kind, axis, k, channel) => `${kind}/${axis}/${k}?channel=${kind === "image" ? channel : 0}`;

  // What is there already; null where it is yet to come.
  function peek(kind, axis, k, channel = 0) {
    const key = name(kind, axis, k, channel);
    const found = kept.get(key);
    if (!found) return null;
    kept.delete(key);
    kept.set(key, found);
    return found;
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
    const [rows, columns] = answer.headers.get("x-shape").split(",").map(Number);
    const data = new KINDS[answer.headers.get("x-kind")](await answer.arrayBuffer());
    const one = { data, rows, columns };
    kept.set(key, one);
    bytes += data.byteLength;
    for (const [oldest, gone] of kept) {
      if (bytes <= MOST_BYTES) break;
      kept.delete(oldest);
      bytes -= gone.data.byteLength;
    }
    return one;
  }

  return { get, peek, stop: () => { over = true; kept.clear(); } };
};
