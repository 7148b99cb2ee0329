import assert from "node:assert/strict";
import test from "node:test";
import { HIGHEST, LOWEST, ZERO, ZERO_LIMIT, indexOf } from "../src/histogram.js";
import { OTHER, Window } from "../src/window.js";

test("a duration lies in its bucket", () => {
  for (let power = -16; power < 11.8; power += 0.00371) {
    const index = indexOf(2 ** power);
    assert.ok(2 ** (index / 16) < 2 ** power && 2 ** power <= 2 ** ((index + 1) / 16), `2^${power} in ${index}`);
  }
});

test("an exact power of two is the upper end of its bucket", () => {
  for (let power = -16; power <= 11; power += 1) assert.equal(indexOf(2 ** power), power * 16 - 1);
});

test("the ends of the range are the server's", () => {
  assert.deepEqual([ZERO, LOWEST, HIGHEST], [-267, -266, 189]);
  for (const tiny of [0, -1, 1e-9, ZERO_LIMIT, NaN]) assert.equal(indexOf(tiny), ZERO);
  for (const huge of [3600, 1e9, Infinity]) assert.equal(indexOf(huge), HIGHEST);
});

test("past the cap users are left out, then routes, and no count is lost", () => {
  const window = new Window(0, 10);
  for (let n = 0; n < 100; n += 1) window.add("GET", `/r${n % 50}`, 200, `u${n}`, "", 0.01);
  const all = [...window.series.values()];
  assert.equal(all.reduce((sum, series) => sum + series.count, 0), 100);
  assert.ok(all.length <= 21);
  assert.equal(all.filter((series) => series.user).length, 10);
  assert.ok(all.some((series) => series.route === OTHER));
});

test("a user cannot imitate another subject", () => {
  const window = new Window(0, 10);
  window.add("GET", "/", 200, "ab", "c", 0.01);
  window.add("GET", "/", 200, "a", "bc", 0.01);
  assert.equal(window.series.size, 2);
});

test("a window ends in the minute it began in, and no two end at once", () => {
  const [first, second] = [new Window(59_000, 10), new Window(59_000, 10)];
  first.seal(61_000);
  second.seal(61_000);
  assert.equal(first.end / 60_000_000_000n, 0n);
  assert.notEqual(first.end, second.end);
});
