// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { test } from "node:test";
import { hashOf, parseHash } from "../../modeld_dashboard/static/logic/routes.js";

for (const [hash, name, model] of [
  ["", "overview", ""],
  ["#/", "overview", ""],
  ["#/infer", "infer", ""],
  ["#/infer/", "infer", ""],
  ["#/infer?model=a%26b.gguf", "infer", "a&b.gguf"],
  ["#/nowhere", "overview", ""],
]) {
  test(`${hash || "no hash"} is the page ${name}`, () => {
    assert.deepEqual(parseHash(String(hash)), { name, model });
  });
}

test("a link to a model leads to it", () => {
  const model = "a b/ü&=?#.gguf";
  assert.deepEqual(parseHash(hashOf("infer", model)), { name: "infer", model });
});
