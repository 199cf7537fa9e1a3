// Events on their way: none is lost, none is sent for nothing. `node --test tests/review`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const assets = new URL("../../src/aleaseg/review/assets/", import.meta.url);
const context = vm.createContext({ ALEASEG: {} });
for (const name of ["outbox.js", "verdicts.js"]) vm.runInContext(readFileSync(new URL(name, assets), "utf8"), context);
const { ALEASEG } = context;
const plain = (value) => JSON.parse(JSON.stringify(value));

class Store {
  constructor() { this.held = new Map(); }
  get length() { return this.held.size; }
  key(place) { return [...this.held.keys()][place]; }
  getItem(name) { return this.held.get(name); }
  setItem(name, value) { this.held.set(name, value); }
  removeItem(name) { this.held.delete(name); }
}

const event = (uuid, at = uuid) => ({ uuid, at });
const saved = (events) => ({ status: 200, body: { saved: events.map((one) => one.uuid) } });

test("what the server has is forgotten here, and not before", async () => {
  const store = new Store();
  const seen = [];
  const box = ALEASEG.outbox("run", async (events) => {
    assert.equal(store.length, events.length); // it is kept while it is on the way
    seen.push(...events.map((one) => one.uuid));
    return saved(events);
  }, store);
  await box.add(event("a"));
  await box.add(event("b"));
  assert.deepEqual([seen, box.count, store.length], [["a", "b"], 0, 0]);
});

test("a full disk and a server that is gone are said, and it is sent again in order", async () => {
  const store = new Store();
  const later = [];
  let answer = async () => ({ status: 507, body: { error: "database or disk is full" } });
  const box = ALEASEG.outbox("run", (events) => answer(events), store, (call, ms) => later.push([call, ms]));
  await box.add(event("a"));
  assert.equal(box.problem, "database or disk is full");
  answer = async () => { throw new TypeError("network"); };
  await box.add(event("b"));
  assert.equal(box.problem, "the server does not answer");
  assert.deepEqual([box.count, store.length], [2, 2]);
  assert.ok(later.at(-1)[1] > later[0][1]); // it waits longer each time
  const seen = [];
  answer = async (events) => { seen.push(...events.map((one) => one.uuid)); return saved(events); };
  await later.at(-1)[0]();
  assert.deepEqual([seen, box.count, box.problem, store.length], [["a", "b"], 0, "", 0]);
});

test("another page finds what was left, of its own run alone", async () => {
  const store = new Store();
  const gone = ALEASEG.outbox("run", async () => { throw new TypeError("x"); }, store, () => {});
  await gone.add(event("b", "2"));
  await gone.add(event("a", "1"));
  store.setItem("aleaseg unsent other z", JSON.stringify(event("z")));
  store.setItem("aleaseg unsent run broken", "{");
  const seen = [];
  const box = ALEASEG.outbox("run", async (events) => { seen.push(...events.map((one) => one.uuid)); return saved(events); }, store);
  await box.flush();
  assert.deepEqual(seen, ["a", "b"]);
  assert.equal(store.length, 2);
});

test("one that is never taken is said and does not hold up the others", async () => {
  const store = new Store();
  const seen = [];
  let down = true;
  const later = [];
  const box = ALEASEG.outbox("run", async (events) => {
    if (down) throw new TypeError("x");
    if (events.some((one) => one.uuid === "bad")) return { status: 422, body: { error: "no such case" } };
    seen.push(...events.map((one) => one.uuid));
    return saved(events);
  }, store, (call) => later.push(call));
  for (const name of ["a", "bad", "c"]) await box.add(event(name));
  down = false;
  await later.at(-1)();
  assert.deepEqual([seen, box.count, store.length], [["a", "c"], 0, 0]);
  assert.match(box.problem, /refused: no such case/);
  await box.add(event("d")); // what is saved after it does not hide it
  assert.deepEqual([seen.at(-1), box.count], ["d", 0]);
  assert.match(box.problem, /refused: no such case/);
  await box.add(event("bad"));
  assert.match(box.problem, /refused: no such case/);
});

test("a browser without room keeps it as long as the page lasts", async () => {
  const store = new Store();
  store.setItem = () => { throw new Error("quota"); };
  const box = ALEASEG.outbox("run", async () => { throw new TypeError("x"); }, store, () => {});
  await box.add(event("a"));
  assert.equal(box.count, 1);
});

test("many go in parts", async () => {
  const sizes = [];
  let down = true;
  const later = [];
  const box = ALEASEG.outbox("run", async (events) => {
    if (down) throw new TypeError("x");
    sizes.push(events.length);
    return saved(events);
  }, new Store(), (call) => later.push(call));
  for (let k = 0; k < 120; k += 1) await box.add(event(String(k).padStart(3, "0")));
  down = false;
  await later.at(-1)();
  assert.deepEqual(sizes, [50, 50, 20]);
});

test("verdicts: mine, others', disputed, stale, taken back", () => {
  let rater = "ann";
  const held = ALEASEG.verdicts(() => rater);
  const one = (name, verdict, more = {}) => ({ class: "", rater: name, verdict, stale: false, ...more });
  held.take({ last: 4, cases: [{ hash: "h", verdicts: [one("ann", "keep"), one("bob", "keep"), one("ann", "drop", { class: "liver", stale: true })] }] });
  assert.equal(held.mine("h").verdict, "keep");
  assert.equal(held.mine("h", "liver").verdict, "drop");
  assert.deepEqual([held.disputed("h"), held.stale("h"), held.last], [false, true, 4]);
  held.put("h", "", "drop");
  assert.deepEqual([held.disputed("h"), held.mine("h").verdict], [true, "drop"]);
  held.put("h", "", null);
  assert.equal(held.mine("h"), null);
  assert.deepEqual(plain(held.others("h").map((each) => each.rater)), ["bob"]);
  rater = "bob";
  assert.equal(held.mine("h").verdict, "keep");
  assert.equal(held.mine("nothing"), null);
});
