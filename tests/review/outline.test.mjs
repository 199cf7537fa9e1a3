// Outlines and colours of label values: `node --test tests/review`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const assets = new URL("../../src/aleaseg/review/assets/", import.meta.url);
const context = vm.createContext({ ALEASEG: {} });
for (const name of ["outline.js", "window.js"]) vm.runInContext(readFileSync(new URL(name, assets), "utf8"), context);
const { outline, greyWindow } = context.ALEASEG;
const plain = (value) => JSON.parse(JSON.stringify(value));

// What is inside closed lines, by the rule of even and odd.
function filled(lines, rows, columns) {
  const found = [];
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const [x, y] = [column + 0.5, row + 0.5];
      let crossed = 0;
      for (const line of lines) {
        for (let place = 0; place < line.length; place += 2) {
          const [ax, ay] = [line[place], line[place + 1]];
          const [bx, by] = [line[(place + 2) % line.length], line[(place + 3) % line.length]];
          if (ay > y !== by > y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) crossed += 1;
        }
      }
      found.push(crossed % 2);
    }
  }
  return found;
}

test("a line goes around all that is inside and nothing else, in straight pieces", () => {
  let seed = 1;
  const random = () => { seed = (seed * 16807) % 2147483647; return seed / 2147483647; };
  for (let round = 0; round < 60; round += 1) {
    const [rows, columns] = [1 + Math.floor(random() * 9), 1 + Math.floor(random() * 9)];
    const data = Uint8Array.from({ length: rows * columns }, () => Math.floor(random() * 3));
    const lines = outline.trace({ data, rows, columns }, outline.table([1]));
    assert.deepEqual(filled(lines, rows, columns), [...data].map((value) => Number(value === 1)));
    for (const line of lines) {
      const count = line.length / 2;
      for (let k = 0; k < count; k += 1) {
        const [a, b, c] = [k, (k + 1) % count, (k + 2) % count].map((one) => [line[2 * one], line[2 * one + 1]]);
        assert.ok(a[0] === b[0] || a[1] === b[1], "along the edges");
        assert.ok(!(a[0] === b[0] && b[0] === c[0]) && !(a[1] === b[1] && b[1] === c[1]), "no corner within a straight piece");
      }
    }
  }
});

test("a square has four corners, two that touch are two lines", () => {
  const square = { data: Uint8Array.from([0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0]), rows: 4, columns: 4 };
  assert.deepEqual(plain(outline.trace(square, outline.table([1]))), [[1, 1, 3, 1, 3, 3, 1, 3]]);
  const touching = { data: Uint8Array.from([1, 0, 0, 1]), rows: 2, columns: 2 };
  assert.equal(outline.trace(touching, outline.table([1])).length, 2);
});

test("grey values: the ends, what is beyond them, what is no number", () => {
  const pixels = new Uint8ClampedArray(4 * 5);
  outline.grey(Float32Array.from([-10, 0, 50, 1e9, NaN]), [0, 100], pixels);
  assert.deepEqual([...pixels].filter((_, place) => place % 4 === 0), [0, 0, 127, 255, 0]);
  assert.ok([...pixels].filter((_, place) => place % 4 === 3).every((alpha) => alpha === 255));
});

test("colours are red, green, blue and opacity", () => {
  const pixels = new Uint8ClampedArray(8);
  outline.fill(Uint8Array.from([0, 2]), Int32Array.from([0, 0, outline.colour("#ff8001", 0.5)]), pixels);
  assert.deepEqual([...pixels], [0, 0, 0, 0, 255, 128, 1, 128]);
});

test("the difference tells mask alone, prediction alone and two classes, and nothing where nobody looked", () => {
  const pixels = new Uint8ClampedArray(4 * 6);
  const mask = Uint8Array.from([0, 1, 0, 1, 9, 1]);
  const prediction = Uint8Array.from([0, 0, 2, 2, 1, 1]);
  const hidden = new Uint8Array(10);
  outline.difference(mask, prediction, hidden, 9, [1, 2, 3], pixels);
  assert.deepEqual([...new Int32Array(pixels.buffer)], [0, 1, 2, 3, 0, 0]);
  hidden[2] = 1;
  outline.difference(mask, prediction, hidden, 9, [1, 2, 3], pixels);
  assert.deepEqual([...new Int32Array(pixels.buffer)], [0, 1, 0, 1, 0, 0]);
});

test("the colours of doubt are those of the report: clear at 0, half as dense at a quarter, yellow at 1", () => {
  const pixels = new Uint8ClampedArray(4 * 5);
  outline.fill(Uint8Array.from([0, 1, 64, 128, 255]), outline.heat(0.7), pixels);
  // As pages/overlay.py draws them, the first one unseen.
  const expected = [[68, 1, 84, 0], [68, 2, 85, 11], [59, 81, 138, 89], [34, 144, 139, 126], [253, 231, 37, 178]];
  expected.forEach((colour, place) => colour.forEach((value, part) => assert.ok(Math.abs(pixels[4 * place + part] - value) <= 1, `${place} ${part}`)));
});

test("a window: presets by kind, width and level by hand, each channel its own", () => {
  const grey = greyWindow([[0, 10], [5, 6]], [[-1000, 3000], [0, 8]], ["CT", "PET"]);
  assert.deepEqual(plain(grey.presets(0).map(([name]) => name)), ["usual", "soft tissue", "lung", "bone", "brain", "whole range", "background"]);
  assert.equal(grey.presets(1).length, 3);
  grey.next(0);
  assert.deepEqual(plain(grey.of(0)), [-160, 240]);
  assert.deepEqual(plain(grey.of(1)), [5, 6]);
  grey.shift(0, 0, 0.01);
  assert.deepEqual(plain(grey.of(0)), [-120, 280]);
  grey.shift(0, 1, 0);
  assert.ok(grey.of(0)[1] - grey.of(0)[0] > 2000);
  grey.set(1, [7, 7]);
  assert.ok(grey.of(1)[1] > grey.of(1)[0]);
});
