// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY, withResponse } from "../../modeld_dashboard/static/logic/feed_state.js";

/**
 * @param {Partial<Api.Feed>} [changes]
 * @returns {Api.Feed}
 */
function response(changes = {}) {
  return {
    feed: "one",
    sequence: 0,
    server_time_unix: 10_000,
    events: [],
    memory: { history_s: 1800, held_before: {}, changes: [] },
    ...changes,
  };
}

/** @param {number} sequence */
function event(sequence) {
  return /** @type {Api.Event} */ ({
    sequence,
    time_unix: 9000 + sequence,
    kind: "model_loading",
    model: "m",
  });
}

test("events are added once each", () => {
  const first = withResponse(EMPTY, response({ sequence: 2, events: [event(1), event(2)] }));
  assert.ok(first);
  const second = withResponse(first, response({ sequence: 3, events: [event(2), event(3)] }));
  assert.deepEqual(
    second?.events.map(({ sequence }) => sequence),
    [1, 2, 3],
  );
});

test("another feed is not mixed with the one before", () => {
  const first = withResponse(EMPTY, response());
  assert.ok(first);
  assert.equal(withResponse(first, response({ feed: "two" })), null);
});

test("changes that are older than the history become the state before it", () => {
  const memory = {
    history_s: 1800,
    held_before: { a: 5 },
    changes: [{ time_unix: 9000, model: "b", held_bytes: 7 }],
  };
  const first = withResponse(EMPTY, response({ memory }));
  assert.ok(first);
  assert.deepEqual(first.heldBefore, { a: 5 });
  const later = {
    history_s: 1800,
    held_before: { a: 5, b: 7 },
    changes: [{ time_unix: 11_000, model: "a", held_bytes: 0 }],
  };
  const second = withResponse(first, response({ server_time_unix: 11_500, memory: later }));
  assert.deepEqual(second?.heldBefore, { a: 5, b: 7 });
  assert.deepEqual(second?.changes, later.changes);
});

test("what is kept is bounded", () => {
  let state = /** @type {import("../../modeld_dashboard/static/logic/feed_state.js").FeedState} */ (
    EMPTY
  );
  for (let at = 0; at < 30; at += 1) {
    const events = Array.from({ length: 100 }, (_, each) => event(at * 100 + each + 1));
    const next = withResponse(state, response({ sequence: (at + 1) * 100, events }));
    assert.ok(next);
    state = next;
  }
  assert.equal(state.events.length, 512);
  assert.equal(state.events.at(-1)?.sequence, 3000);
});

test("a flood of requests does not push the events of models out", () => {
  let state = withResponse(EMPTY, response({ sequence: 1, events: [event(1)] }));
  for (let at = 0; at < 3; at += 1) {
    const events = Array.from({ length: 512 }, (_, index) => ({
      ...event(2 + at * 512 + index),
      request_id: "r",
    }));
    assert.ok(state);
    state = withResponse(state, response({ sequence: 1 + (at + 1) * 512, events }));
  }
  const kept = state?.events.map(({ sequence }) => sequence) ?? [];
  assert.deepEqual([kept.length, kept[0], kept[1], kept.at(-1)], [513, 1, 1026, 1537]);
});
