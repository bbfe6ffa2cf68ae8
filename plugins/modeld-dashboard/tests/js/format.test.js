// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../../modeld_dashboard/static/logic/format.js";

/** @type {[string, string][]} */
const CASES = [
  [format.mib(0), "0 MiB"],
  [format.mib(8192), "8,192 MiB"],
  [format.mib(24_576), "24.0 GiB"],
  [format.bytes(0), "0 MiB"],
  [format.bytes(4), "< 1 MiB"],
  [format.bytes(190 * 2 ** 20), "190 MiB"],
  [format.seconds(null), "–"],
  [format.seconds(0.0734), "73 ms"],
  [format.seconds(1.234), "1.23 s"],
  [format.seconds(12.34), "12.3 s"],
  [format.seconds(125), "2 min 5 s"],
  [format.span(59.9), "59 s"],
  [format.span(7260), "2 h 1 min"],
  [format.span(90_000), "1 d 1 h"],
  [format.ago(0, 1000), "never"],
  [format.ago(1001, 1000), "just now"],
  [format.ago(977, 1000), "20 s ago"],
  [format.ago(400, 1000), "10 min ago"],
  [format.rate(null), "–"],
  [format.rate(0), "0.0"],
  [format.rate(43.21), "43.2"],
  [format.rate(1069.4), "1,069"],
  [format.counted(1, "model"), "1 model"],
  [format.counted(0, "model"), "0 models"],
];

for (const [shown, expected] of CASES) {
  test(`it reads ${expected}`, () => assert.equal(shown, expected));
}
