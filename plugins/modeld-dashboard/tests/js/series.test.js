// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY } from "../../modeld_dashboard/static/logic/feed_state.js";
import { memorySeries, stacked } from "../../modeld_dashboard/static/logic/memory_series.js";
import { memoryUse } from "../../modeld_dashboard/static/logic/memory_use.js";
import {
  firstTokenMedians,
  firstTokenSeries,
  median,
  speedSeries,
} from "../../modeld_dashboard/static/logic/request_series.js";
import { noted, speedOf } from "../../modeld_dashboard/static/logic/speed.js";

const MIB = 2 ** 20;

/**
 * @param {Record<string, number>} tokens
 * @param {number} [completion_tokens_total]
 */
function status(tokens, completion_tokens_total) {
  const instances = Object.entries(tokens).map(([model_id, completion_tokens_total]) => ({
    model_id,
    completion_tokens_total,
  }));
  return /** @type {Api.Status} */ (
    /** @type {unknown} */ ({ instances, completion_tokens_total })
  );
}

/** @param {Partial<Api.Event>} members */
function finished(members) {
  return /** @type {Api.Event} */ ({
    sequence: 1,
    kind: "request_finished",
    model: "m",
    ...members,
  });
}

/** @param {readonly (number | null)[]} values */
function sum(values) {
  return values.reduce((total, value) => /** @type {number} */ (total) + (value ?? 0), 0) ?? 0;
}

test("memory is a step function from the begin of the history to now", () => {
  const feed = {
    ...EMPTY,
    heldBefore: { a: 10 * MIB },
    changes: [
      { time_unix: 2000, model: "b", held_bytes: 5 * MIB },
      { time_unix: 2600, model: "a", held_bytes: 0 },
    ],
  };
  const { times, held } = memorySeries(feed, 3000);
  assert.deepEqual(
    times.map(time => Math.round(time)),
    [1200, 2000, 2000, 2600, 2600, 3000],
  );
  assert.deepEqual(held.get("a"), [10, 10, 10, 10, 0, 0]);
  assert.deepEqual(held.get("b"), [0, 0, 5, 5, 5, 5]);
  assert.deepEqual(
    times,
    [...times].sort((one, other) => one - other),
  );
});

test("changes at one moment keep their order", () => {
  const changes = [1, 2, 3].map(size => ({ time_unix: 2000, model: "a", held_bytes: size * MIB }));
  const { times, held } = memorySeries({ ...EMPTY, changes }, 3000);
  assert.equal(new Set(times).size, times.length);
  assert.deepEqual(held.get("a"), [0, 0, 1, 1, 2, 2, 3, 3]);
});

test("layers are stacked, and an empty one is not drawn", () => {
  assert.deepEqual(
    stacked([
      [1, 0],
      [2, 2],
      [0, 1],
    ]),
    [
      [1, null],
      [3, 2],
      [null, 3],
    ],
  );
});

test("speed is what a counter has gained in the last seconds", () => {
  let samples = noted([], status({ m: 0 }), 0);
  assert.equal(speedOf(samples, "m"), null);
  for (let at = 1; at <= 20; at += 1) samples = noted(samples, status({ m: at * 7 }), at);
  assert.equal(speedOf(samples, "m"), 7);
  assert.equal(speedOf(samples, "other"), 0);
});

test("a counter that begins anew is no negative speed", () => {
  const samples = noted(noted([], status({ m: 900 }), 0), status({ m: 3 }), 1);
  assert.equal(speedOf(samples, "m"), 0);
});

test("a model that is listed again has counted nothing meanwhile", () => {
  let samples = noted([], status({}, 50_000), 0);
  samples = noted(samples, status({ other: 5 }, 50_005), 1);
  samples = noted(samples, status({ other: 5, m: 50_000 }, 50_005), 2);
  assert.equal(speedOf(samples, "m"), 0);
  samples = noted(samples, status({}, 50_005), 3);
  samples = noted(samples, status({ m: 50_030 }, 50_035), 4);
  assert.equal(speedOf(samples, "m"), 7.5);
  const { values } = speedSeries([], samples, { nowUnix: 1000, nowS: 20, spanS: 300 });
  assert.equal(sum(values.get("m") ?? []) * 10, 30);
});

test("where polls are rare the last two count", () => {
  const samples = noted(noted([], status({ m: 0 }), 0), status({ m: 600 }), 60);
  assert.equal(speedOf(samples, "m"), 10);
});

test("samples are kept for half an hour", () => {
  let samples = noted([], status({}), 0);
  for (let at = 1; at < 4000; at += 1) samples = noted(samples, status({}), at);
  assert.equal(samples.length, 1801);
});

test("the chart of speed has every token once, before and after the first sample", () => {
  const events = [
    finished({ time_unix: 950, seconds: 21, first_token_s: 1, completion_tokens: 200 }),
    finished({ time_unix: 985, seconds: 20, first_token_s: 0, completion_tokens: 100 }),
  ];
  let samples = noted([], status({ m: 0 }), 5);
  samples = noted(samples, status({ m: 40 }), 10);
  const clocks = { nowUnix: 1000, nowS: 20, spanS: 300 };
  const { times, values } = speedSeries(events, samples, clocks);
  const own = values.get("m") ?? [];
  assert.equal(times.length, 30);
  // All of the first response, all of the second one before 985, and 40 from the counters.
  assert.ok(Math.abs(sum(own) * 10 - 340) < 1e-6);
  assert.equal(own[0], null);
});

test("times to the first token are points of their model", () => {
  const events = [
    finished({ time_unix: 10, first_token_s: 0.5 }),
    finished({ time_unix: 20, first_token_s: null }),
    finished({ time_unix: 30, first_token_s: 0.7, model: "n" }),
  ];
  const { times, values } = firstTokenSeries(events, 5);
  assert.deepEqual(times, [10, 30]);
  assert.deepEqual(values.get("m"), [0.5, null]);
  assert.deepEqual(values.get("n"), [null, 0.7]);
});

test("times to the first token are in order where the server's clock was set back", () => {
  const events = [30, 10, 20].map(time_unix => finished({ time_unix, first_token_s: time_unix }));
  const { times, values } = firstTokenSeries(events, 5);
  assert.deepEqual(times, [10, 20, 30]);
  assert.deepEqual(values.get("m"), [10, 20, 30]);
});

test("the first tokens of a model that was not asked for before count", () => {
  const samples = noted(noted([], status({}), 5), status({ m: 40 }), 10);
  const { values } = speedSeries([], samples, { nowUnix: 1000, nowS: 20, spanS: 300 });
  assert.equal(sum(values.get("m") ?? []) * 10, 40);
});

test("the median is that of the latest requests", () => {
  const old = Array.from({ length: 50 }, () => finished({ first_token_s: 9 }));
  const fresh = Array.from({ length: 20 }, (_, at) => finished({ first_token_s: at }));
  assert.equal(firstTokenMedians([...old, ...fresh]).get("m"), 9.5);
  assert.equal(median([3, 1, 2]), 2);
});

test("memory in use adds up, with and without a budget", () => {
  const instances = [{ model_id: "m", held_mb: 190 }];
  const given = { instances, held_mb: 300, margin_mb: 50, budget_mb: 600 };
  const use = memoryUse(/** @type {Api.Status} */ (/** @type {unknown} */ (given)));
  assert.deepEqual(
    [use.reservedMib, use.freeMib, use.budgetMib, use.wholeMib],
    [110, 250, 600, 600],
  );
  const unlimited = { ...given, budget_mb: 0 };
  const free = memoryUse(/** @type {Api.Status} */ (/** @type {unknown} */ (unlimited)));
  assert.deepEqual([free.freeMib, free.budgetMib, free.wholeMib], [null, null, 300]);
});
