// Surfaces and how they turn; slices cut out of a volume: `node --test tests/review`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const assets = new URL("../../src/aleaseg/review/assets/", import.meta.url);
const context = vm.createContext({ ALEASEG: {} });
for (const name of ["slices.js", "outline.js", "solid.js"]) vm.runInContext(readFileSync(new URL(name, assets), "utf8"), context);
const { surface, slices, outline } = context.ALEASEG;
const near = (a, b, by = 1e-5) => assert.ok(a.every((one, k) => Math.abs(one - b[k]) < by), `${a} is not ${b}`);

// A block of a label map: `value(d, h, w)`.
function made(shape, value) {
  const data = new Uint8Array(shape[0] * shape[1] * shape[2]);
  for (let d = 0, to = 0; d < shape[0]; d += 1) for (let h = 0; h < shape[1]; h += 1) for (let w = 0; w < shape[2]; w += 1, to += 1) data[to] = value(d, h, w);
  return { data, shape };
}
const AXES = surface.axes(null, [1, 1, 1], [1, 1, 1]);
const EMPTY = Uint8Array.from([1, 0, 0]);

test("seen from the front, the patient's left is on the right and the head is up", () => {
  // d to the head, h to the front, w to the patient's right; 2, 1 and 1 mm.
  const affine = [[0, 0, 1, 5], [0, 1, 0, 5], [2, 0, 0, 5], [0, 0, 0, 1]];
  const [d, h, w] = surface.axes(affine, [2, 1, 1], [1, 4, 4]);
  near(d, [0, -2, 0]);
  near(h, [0, 0, 4]);
  near(w, [-4, 0, 0]);
});

test("the surface is every voxel that touches nothing, and its normals point outwards", () => {
  const map = made([7, 7, 7], (d, h, w) => (Math.min(d, h, w) >= 2 && Math.max(d, h, w) <= 4 ? 1 : 0));
  const { at, normal, value, place } = surface.points(map, AXES, EMPTY);
  assert.equal(place.length, 26);
  assert.ok(value.every((one) => one === 1));
  for (let k = 0; k < place.length; k += 1) {
    const [x, y, z] = at.slice(3 * k, 3 * k + 3);
    const along = x * normal[3 * k] + y * normal[3 * k + 1] + z * normal[3 * k + 2];
    near([along], [Math.hypot(x, y, z)], 0.1);
  }
});

test("what lies at the border of the volume is surface, and a class that is hidden is nothing", () => {
  const map = made([3, 3, 3], (d) => (d === 0 ? 1 : 2));
  assert.equal(surface.points(map, AXES, EMPTY).place.length, 26);
  const rest = surface.points(map, AXES, Uint8Array.from([1, 0, 1]));
  assert.equal(rest.place.length, 9);
  assert.ok(rest.value.every((one) => one === 1));
});

test("alone is what has nothing of its class beside it in the other map", () => {
  const one = made([1, 1, 6], (d, h, w) => [1, 1, 0, 0, 2, 2][w]);
  const other = made([1, 1, 6], (d, h, w) => [0, 1, 0, 0, 1, 0][w]);
  assert.deepEqual([...surface.alone(surface.points(one, AXES, EMPTY), other)], [0, 0, 1, 1]);
});

test("a turn is a turn: nothing is stretched, and a drag to the right moves the front to the right", () => {
  for (const [about, over] of [[0, 0], [0.7, -0.3], [-2, 1.2]]) {
    const rows = surface.turn(about, over);
    for (let a = 0; a < 3; a += 1) for (let b = 0; b < 3; b += 1) near([rows[a].reduce((sum, part, k) => sum + part * rows[b][k], 0)], [a === b ? 1 : 0]);
  }
  assert.ok(surface.turn(0.1, 0)[0][2] > 0); // the front is z = 1
  assert.ok(surface.turn(0, -0.1)[2][1] < 0); // the head, y = -1, comes towards the viewer
});

test("what there is stands in the middle of the picture", () => {
  const { middle, radius } = surface.around([Float32Array.from([1, 2, 3, 5, 2, 3]), Float32Array.from([3, 2, 0])]);
  near(middle, [3, 2, 1.5]);
  near([radius], [2.5]);
  assert.deepEqual([...surface.around([new Float32Array(0)]).middle], [0, 0, 0]);
  const points = { at: Float32Array.from([100, 50, 9]), normal: Float32Array.from([0, 0, 1]) };
  const onto = { width: 20, height: 20, pixels: new Uint8ClampedArray(1600), hit: new Int32Array(400) };
  surface.draw(points, surface.turn(0.3, 0.2), [100, 50, 9], 3, 0.1, () => [9, 9, 9], onto);
  assert.equal(onto.hit[10 * 20 + 10], 0);
});

test("the nearer one is seen, and what is drawn can be pointed at", () => {
  const points = { at: Float32Array.from([0, 0, -5, 0, 0, 5]), normal: Float32Array.from([0, 0, 1, 0, 0, 1]) };
  const onto = { width: 20, height: 20, pixels: new Uint8ClampedArray(1600), hit: new Int32Array(400) };
  const colours = (k) => [[200, 0, 0], [0, 200, 0]][k];
  surface.draw(points, surface.turn(0, 0), [0, 0, 0], 1, 2, colours, onto);
  const middle = 10 * 20 + 10;
  assert.equal(onto.hit[middle], 1);
  assert.ok(onto.pixels[4 * middle + 1] > 100 && onto.pixels[4 * middle] === 0);
  assert.equal(onto.hit[0], -1);
  surface.draw(points, surface.turn(Math.PI, 0), [0, 0, 0], 1, 2, colours, onto); // from behind both normals point away
  assert.ok(onto.hit.every((one) => one === -1));
});

test("a slice cut out of a volume hangs as the server hangs it", async () => {
  const volume = made([3, 4, 5], (d, h, w) => 20 * d + 5 * h + w);
  const planes = [
    { axis: 0, rows: 1, columns: 2, flip_rows: true, flip_columns: false },
    { axis: 1, rows: 0, columns: 2, flip_rows: true, flip_columns: true },
    { axis: 2, rows: 1, columns: 0, flip_rows: false, flip_columns: true },
  ];
  const answer = { status: 200, headers: { get: (name) => ({ "x-kind": "|u1", "x-shape": "3,4,5" })[name] }, arrayBuffer: async () => volume.data.buffer };
  const asked = [];
  const here = slices("abc", planes, async (path) => { asked.push(path); return answer; });
  assert.equal(here.peek("mask", 0, 0), null);
  await here.whole("mask");
  await here.whole("mask");
  assert.deepEqual(asked, ["/api/case/abc/whole/mask?channel=0"]);
  for (const { axis, rows, columns, flip_rows: up, flip_columns: left } of planes) {
    for (let k = 0; k < volume.shape[axis]; k += 1) {
      const found = here.peek("mask", axis, k);
      assert.deepEqual([found.rows, found.columns], [volume.shape[rows], volume.shape[columns]]);
      for (let row = 0; row < found.rows; row += 1) {
        for (let column = 0; column < found.columns; column += 1) {
          const at = [];
          at[axis] = k;
          at[rows] = up ? found.rows - 1 - row : row;
          at[columns] = left ? found.columns - 1 - column : column;
          assert.equal(found.data[row * found.columns + column], 20 * at[0] + 5 * at[1] + at[2]);
        }
      }
      assert.equal(here.peek("mask", axis, k), found); // cut once
    }
  }
});

test("the shares that a window hides", () => {
  const found = outline.clipped(Float32Array.from([-5, 0, 3, 10, 12, NaN, 4, 10]), [0, 10]);
  assert.deepEqual([...found], [0.25, 0.375]);
});

// Pixels of the background that cannot be reached from the corner of the picture.
function holes(hit, width, height) {
  const seen = Uint8Array.from(hit, (one) => (one >= 0 ? 1 : 0));
  const waiting = [0];
  seen[0] = 1;
  while (waiting.length) {
    const at = waiting.pop();
    for (const next of [at - width, at + width, ...(at % width ? [at - 1] : []), ...((at + 1) % width ? [at + 1] : [])]) {
      if (next < 0 || next >= width * height || seen[next]) continue;
      seen[next] = 1;
      waiting.push(next);
    }
  }
  return seen.filter((one) => !one).length;
}

test("a ball has no gap, however it is turned", () => {
  const map = made([20, 20, 20], (d, h, w) => (Math.hypot(d - 9.5, h - 9.5, w - 9.5) < 9 ? 1 : 0));
  const points = surface.points(map, AXES, EMPTY);
  const [width, height] = [200, 200];
  for (const scale of [3.2, 6.4, 9.6]) {
    for (let about = 0; about < 3; about += 0.37) {
      for (const over of [-0.9, -0.35, 0, 0.6]) {
        const hit = new Int32Array(width * height);
        surface.draw(points, surface.turn(about, over), [0, 0, 0], scale, 1, () => [255, 255, 255], { width, height, pixels: new Uint8ClampedArray(4 * width * height), hit });
        assert.equal(holes(hit, width, height), 0, `turned by ${about}, ${over} at ${scale}`);
      }
    }
  }
});
