// Which grey values are black and white: presets, and shifts by hand. It knows no element.
"use strict";

// `limits`: [low, high] of each channel as they come; `ranges`: of all values; `names`: of the channels.
ALEASEG.greyWindow = (limits, ranges, names) => {
  const CT = { "soft tissue": [-160, 240], lung: [-1350, 150], bone: [-500, 1300], brain: [0, 80] };
  const now = limits.map((one) => [...one]);
  const preset = limits.map(() => 0);

  function presets(channel) {
    const [low, high] = ranges[channel];
    const ct = (names[channel] || "").toUpperCase() === "CT" && low < -200;
    return [["usual", limits[channel]], ...(ct ? Object.entries(CT) : []), ["whole range", [low, high]], ["background", [low, low + (high - low) / 8]]];
  }

  function set(channel, [low, high]) {
    now[channel] = [low, high > low ? high : low + 1e-6];
  }

  function choose(channel, place) {
    preset[channel] = place;
    set(channel, presets(channel)[place][1]);
  }

  // Across: width, as a factor; down: level, as a share of all values.
  function shift(channel, across, down) {
    const [low, high] = now[channel];
    const [least, most] = ranges[channel];
    const [middle, half] = [(low + high) / 2 + down * (most - least), ((high - low) / 2) * Math.exp(2 * across)];
    set(channel, [middle - half, middle + half]);
  }

  return {
    presets, set, choose, shift,
    of: (channel) => now[channel],
    chosen: (channel) => preset[channel],
    next: (channel) => choose(channel, (preset[channel] + 1) % presets(channel).length),
  };
};
