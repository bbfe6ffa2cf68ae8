// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { test } from "node:test";
import { nextDelayMs } from "../../modeld_dashboard/static/logic/pacing.js";

test("the server is asked less and less often while it fails", () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 50].map(failures => nextDelayMs(1000, failures)),
    [1000, 1000, 2000, 4000, 8000, 15_000, 15_000],
  );
  assert.equal(nextDelayMs(5000, 1), 5000);
});
