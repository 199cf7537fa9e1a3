// The queue knows no element: it is tested without a browser. `node --test tests/report`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const assets = new URL("../../src/aleaseg/report/assets/", import.meta.url);
const context = vm.createContext({ ALEASEG: {}, URLSearchParams });
vm.runInContext(readFileSync(new URL("queue.js", assets), "utf8"), context);
const { ALEASEG } = context;

const NUMBERS = { doubt: [0.9, 0.2, 0.7, null, 0.1], oof_dice: [0.5, 0.9, 0.4, 0.8, null] };
const AXES = ["label", "fine", "both", "fine", "image"];
const one = {
  count: 5,
  data: { case: ["e", "d", "c", "b", "a"] },
  has: (name) => name in NUMBERS,
  sign: (name) => ({ doubt: 1, oof_dice: -1 })[name] || 0,
  value: (name, row) => (NUMBERS[name] ? NUMBERS[name][row] : null),
  above: (name, row) => (NUMBERS[name]?.[row] ?? 0) > 0.5,
  axis: (row) => AXES[row],
  failed: (row) => row === 3,
  text: (name, row) => (name === "site" ? `site${row % 2}` : ""),
  reasons: (row) => (row === 0 ? [{ axis: "image", sentence: "more Noise than usual" }] : []),
};
const queue = () => ALEASEG.queue(one, (row) => row === 1);
const plain = (value) => JSON.parse(JSON.stringify(value)); // arrays of another context

test("the bad end comes first, and what has no number last", () => {
  const q = queue();
  assert.deepEqual(plain(q.rows()), [0, 2, 1, 4, 3]);
  q.set({ sort: "oof_dice" });
  assert.deepEqual(plain(q.rows()), [2, 0, 3, 1, 4]);
  q.set({ down: true });
  assert.deepEqual(plain(q.rows()), [1, 3, 0, 2, 4]);
  q.set({ sort: "case" });
  assert.deepEqual(plain(q.rows()), [4, 3, 2, 1, 0]);
});

test("a shuffled table stays as it was shuffled until another order is asked for", () => {
  const blind = { ...one, data: { case: ["c", "a", "e", "b", "d"], shuffled: true }, has: () => false };
  const q = ALEASEG.queue(blind);
  assert.deepEqual(plain(q.rows()), [0, 1, 2, 3, 4]);
  assert.equal(q.address(), "");
  q.set({ sort: "case" });
  assert.deepEqual(plain(q.rows()), [1, 3, 0, 4, 2]);
  q.read("");
  assert.deepEqual(plain(q.rows()), [0, 1, 2, 3, 4]);
});

test("words, axes, flags and ranges narrow it together", () => {
  const q = queue();
  q.set({ search: "noise  image" });
  assert.deepEqual(plain(q.rows()), [0]);
  q.set({ search: "", show: "image" });
  assert.deepEqual(plain(q.rows()), [2, 4]);
  q.set({ show: "flagged" });
  assert.deepEqual(plain(q.rows()), [1]);
  q.set({ show: "all" });
  q.range({ doubt: [0.15, 0.8] });
  assert.deepEqual(plain(q.rows()), [2, 1]);
  q.range({ oof_dice: [0, 0.5] });
  assert.deepEqual(plain(q.rows()), [2]);
  q.range({ doubt: null });
  assert.deepEqual(plain(q.rows()), [0, 2]);
  assert.equal(q.narrowed(), true);
});

test("an address gives back what wrote it, and one of no sense gives the start", () => {
  const q = queue();
  assert.equal(q.address(), "");
  q.set({ search: "a b&c=d", show: "label", sort: "oof_dice", view: "table" });
  q.range({ doubt: [0.123456789, 1] });
  const other = queue();
  other.read(q.address());
  assert.deepEqual(plain(other.state), { ...plain(q.state), ranges: { doubt: [0.12346, 1] } });
  assert.equal(other.address(), q.address());
  other.read("sort=nothing&show=toString&range=doubt:x:1&range=none:0:1&view=odd");
  assert.equal(other.address(), "");
});

test("who listens hears of every change", () => {
  const q = queue();
  const heard = [];
  q.on((state) => heard.push(state.search));
  q.set({ search: "x" });
  q.read("");
  assert.deepEqual(heard, ["x", ""]);
});
