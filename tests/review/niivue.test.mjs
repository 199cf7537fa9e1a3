// What NiiVue is given: files, colours, a document; `node --test tests/review`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const assets = new URL("../../src/aleaseg/review/assets/", import.meta.url);
const context = vm.createContext({ ALEASEG: {} });
vm.runInContext(readFileSync(new URL("niivue.js", assets), "utf8"), context);
const { scene } = context.ALEASEG;

const header = (bytes) => {
  const view = new DataView(bytes.buffer);
  const each = (count, from, step, read) => Array.from({ length: count }, (_, k) => view[read](from + k * step, true));
  return {
    size: view.getInt32(0, true), dim: each(8, 40, 2, "getInt16"), type: view.getInt16(70, true), bits: view.getInt16(72, true),
    zooms: each(4, 76, 4, "getFloat32"), offset: view.getFloat32(108, true), sform: view.getInt16(254, true),
    rows: [280, 296, 312].map((from) => each(4, from, 4, "getFloat32")), magic: String.fromCharCode(...bytes.slice(344, 347)),
  };
};

test("a volume becomes a NIfTI file with the axes the other way round", () => {
  const values = Int16Array.from({ length: 24 }, (_, k) => k - 7);
  const affine = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [0, 0, 0, 1]];
  const file = scene.file({ bytes: values.buffer, kind: "<i2", shape: [2, 3, 4] }, affine, [3, 2, 1]);
  assert.deepEqual(header(file), {
    size: 348, dim: [3, 4, 3, 2, 1, 1, 1, 1], type: 4, bits: 16, zooms: [1, 1, 2, 3], offset: 352, sform: 1,
    rows: [[3, 2, 1, 4], [7, 6, 5, 8], [11, 10, 9, 12]], magic: "n+1",
  });
  assert.deepEqual([...new Int16Array(file.buffer.slice(352))], [...values]);
});

test("every kind of voxel that is sent has its number", () => {
  for (const [kind, type, size] of [["|u1", 2, 1], ["<u1", 2, 1], ["<i2", 4, 2], ["<u2", 512, 2], ["<i4", 8, 4], ["<f4", 16, 4]]) {
    const found = header(scene.file({ bytes: new ArrayBuffer(size), kind, shape: [1, 1, 1] }, null, [1, 1, 1]));
    assert.deepEqual([found.type, found.bits], [type, 8 * size]);
  }
});

test("where nobody knows the world, slices hang as they are stored and millimetres are right", () => {
  const { rows } = header(scene.file({ bytes: new ArrayBuffer(8), kind: "|u1", shape: [2, 2, 2] }, null, [3, 2, 1]));
  assert.deepEqual(rows, [[1, 0, 0, 0], [0, -2, 0, 0], [0, 0, -3, 0]]);
});

test("a class that is hidden is clear, and so is what belongs to none", () => {
  const classes = [{ name: "a", values: [1, 3], mask: "#ff8001" }, { name: "b", values: [4], mask: "#0000ff" }];
  const lut = scene.colours(classes, new Set(["b"]));
  assert.deepEqual([...lut], [0, 0, 0, 0, 255, 128, 1, 255, 0, 0, 0, 0, 255, 128, 1, 255, 0, 0, 0, 0]);
});

test("a document holds the image in its window and the mask in its colours", () => {
  const found = scene.of([{ name: "image", window: [-160, 240], content: "aaaa" }, { name: "mask", lut: [0, 0, 0, 0, 1, 2, 3, 255], content: "bbbb" }]);
  assert.deepEqual([...found.encodedImageBlobs], ["aaaa", "bbbb"]);
  const [image, mask] = found.imageOptionsArray;
  assert.deepEqual([image.cal_min, image.cal_max, image.colormapLabel], [-160, 240, undefined]);
  assert.deepEqual([mask.colormapLabel.min, mask.colormapLabel.max], [0, 1]);
});
