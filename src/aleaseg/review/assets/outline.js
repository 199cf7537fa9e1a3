// From label values to what is drawn: outlines along the edges of voxels, and pixels in colours. It knows no element.
"use strict";

ALEASEG.outline = (() => {
  // Which label values belong to a class, as a table by value.
  function table(values) {
    const found = new Uint8Array(Math.max(0, ...values) + 1);
    for (const value of values) found[value] = 1;
    return found;
  }

  // Closed lines around all pixels whose value is in the table: [x, y, x, y, ...] in corners of pixels, the first not repeated.
  function trace({ data, rows, columns }, inside) {
    const wide = columns + 1;
    const next = new Map(); // corner -> the corners that lines go to from there: one, or two where pixels touch at it
    const is = (row, column) => row >= 0 && column >= 0 && row < rows && column < columns && inside[data[row * columns + column]] === 1;
    const add = (from, to) => {
      const there = next.get(from);
      if (there === undefined) next.set(from, [to]);
      else there.push(to);
    };
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        if (inside[data[row * columns + column]] !== 1) continue;
        const corner = row * wide + column; // the inside lies to the right of every line
        if (!is(row - 1, column)) add(corner, corner + 1);
        if (!is(row, column + 1)) add(corner + 1, corner + 1 + wide);
        if (!is(row + 1, column)) add(corner + 1 + wide, corner + wide);
        if (!is(row, column - 1)) add(corner + wide, corner);
      }
    }
    const lines = [];
    for (const [first, ways] of next) {
      while (ways.length) lines.push(follow(first, next, wide));
    }
    return lines;
  }

  function follow(first, next, wide) {
    const line = [];
    let at = first;
    let step = 0;
    do {
      const ways = next.get(at);
      // Where two pixels touch at a corner, each keeps its own line: turn right.
      const right = step === 1 ? wide : step === wide ? -1 : step === -1 ? -wide : 1;
      const turn = ways.length > 1 && step ? Math.max(0, ways.indexOf(at + right)) : 0;
      const to = ways.splice(turn, 1)[0];
      if (to - at !== step) line.push(at % wide, Math.floor(at / wide));
      step = to - at;
      at = to;
    } while (at !== first);
    // The line may have begun in the middle of a straight piece.
    const count = line.length / 2;
    const [ax, ay, bx, by] = [line[2 * count - 2], line[2 * count - 1], line[2], line[3]];
    if (count > 4 && ((ax === line[0] && bx === line[0]) || (ay === line[1] && by === line[1]))) line.splice(0, 2);
    return line;
  }

  // Numbers as grey: `low` is black, `high` white. `pixels` are four bytes for each number.
  function grey(data, [low, high], pixels) {
    const scale = 255 / (high - low || 1);
    const words = new Uint32Array(pixels.buffer, pixels.byteOffset, data.length);
    for (let place = 0; place < data.length; place += 1) {
      let shade = (data[place] - low) * scale;
      shade = shade > 255 ? 255 : shade > 0 ? shade | 0 : 0; // what is not a number is black
      words[place] = 0xff000000 | (shade << 16) | (shade << 8) | shade;
    }
  }

  // Which shares of numbers a window shows as plain black and as plain white.
  function clipped(data, [low, high]) {
    let [black, white] = [0, 0];
    for (let place = 0; place < data.length; place += 1) {
      if (data[place] <= low) black += 1;
      else if (data[place] >= high) white += 1;
    }
    return [black / data.length, white / data.length];
  }

  // A colour as a table has it: "#rrggbb" and an opacity in [0, 1].
  function colour(hex, opacity) {
    const value = parseInt(hex.slice(1), 16);
    return (Math.round(255 * opacity) << 24) | ((value & 255) << 16) | (value & 0xff00) | (value >> 16);
  }

  // Viridis (van der Walt and Smith, 2015, public domain) for the numbers 0 to 255: clear at 0, half as dense at a quarter.
  const VIRIDIS = ["440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"];
  function heat(densest) {
    const parts = (hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return Int32Array.from({ length: 256 }, (_, value) => {
      const at = (value / 255) * (VIRIDIS.length - 1);
      const low = Math.min(VIRIDIS.length - 2, Math.floor(at));
      const [from, to] = [parts(VIRIDIS[low]), parts(VIRIDIS[low + 1])];
      const [red, green, blue] = from.map((one, k) => Math.round(one + (at - low) * (to[k] - one)));
      return (Math.round(255 * densest * Math.sqrt(value / 255)) << 24) | (blue << 16) | (green << 8) | red;
    });
  }

  // Label values in colours: `colours` by value.
  function fill(data, colours, pixels) {
    const words = new Int32Array(pixels.buffer, pixels.byteOffset, data.length);
    for (let place = 0; place < data.length; place += 1) words[place] = colours[data[place]] || 0;
  }

  // Where mask and prediction differ: the mask alone, the prediction alone, or two classes. `hidden` by value.
  function difference(mask, prediction, hidden, ignore, [alone, only, both], pixels) {
    const words = new Int32Array(pixels.buffer, pixels.byteOffset, mask.length);
    for (let place = 0; place < mask.length; place += 1) {
      const [a, b] = [hidden[mask[place]] ? 0 : mask[place], hidden[prediction[place]] ? 0 : prediction[place]];
      words[place] = a === b || mask[place] === ignore ? 0 : b === 0 ? alone : a === 0 ? only : both;
    }
  }

  return { table, trace, grey, clipped, colour, heat, fill, difference };
})();
