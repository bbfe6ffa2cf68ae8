// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { test } from "node:test";
import { waitText } from "../../modeld_dashboard/static/logic/waiting.js";

/**
 * @param {Partial<Api.Instance>} instance
 * @param {number} [loading]
 */
function status(instance, loading = 0) {
  const given = { instances: [{ model_id: "m", ...instance }], warmups_in_progress: loading };
  return /** @type {Api.Status} */ (/** @type {unknown} */ (given));
}

test("a request says what it waits for, as far as that is known", () => {
  assert.match(waitText(status({ state: "loading", queue_len: 2 }), "m"), /being loaded/);
  assert.match(waitText(status({ state: "draining", queue_len: 2 }), "m"), /leaving memory/);
  assert.match(waitText(status({ state: "ready", queue_len: 2 }), "m"), /: 2 requests\./);
  for (const known of [null, status({ state: "ready", queue_len: 0 })]) {
    assert.equal(waitText(known, "m"), "Waiting for the model.");
  }
});

test("where the default model is asked for, any load is told", () => {
  assert.match(waitText(status({ state: "loading" }, 1), ""), /A model is being loaded/);
  assert.equal(waitText(status({ state: "ready", queue_len: 2 }), ""), "Waiting for the model.");
  assert.equal(waitText(status({ state: "loading" }, 1), "other"), "Waiting for the model.");
});
