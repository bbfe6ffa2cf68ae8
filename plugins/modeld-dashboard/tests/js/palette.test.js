// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { test } from "node:test";
import { COLOURS, NO_COLOUR, Palette } from "../../modeld_dashboard/static/logic/palette.js";

test("a model keeps its colour, and a new one in memory gets one", () => {
  const palette = new Palette();
  const first = Array.from({ length: COLOURS }, (_, at) => `m${at}`);
  palette.see(first);
  assert.deepEqual(
    first.map(model => palette.colourOf(model)),
    first.map((_, at) => at),
  );
  palette.see(["new", ...first.slice(1)], ["m0"]);
  assert.equal(palette.colourOf("new"), 0);
  assert.equal(palette.colourOf("m0"), NO_COLOUR);
  assert.equal(palette.colourOf("m1"), 1);
});

test("more models than colours do not take them from each other", () => {
  const palette = new Palette();
  const held = Array.from({ length: 12 }, (_, at) => `m${at}`);
  const past = Array.from({ length: 12 }, (_, at) => `p${at}`);
  palette.see(held, past);
  const colours = [...held, ...past].map(model => palette.colourOf(model));
  palette.see(held, past);
  assert.deepEqual(
    [...held, ...past].map(model => palette.colourOf(model)),
    colours,
  );
  assert.equal(new Set(colours).size, COLOURS + 1);
});
