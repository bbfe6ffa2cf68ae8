// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventLines } from "../../modeld_dashboard/static/logic/event_text.js";

/** @param {Partial<Api.Event>[]} events */
function lines(...events) {
  const numbered = events.map((event, at) => ({
    sequence: at,
    time_unix: at,
    model: "m",
    ...event,
  }));
  return eventLines(/** @type {Api.Event[]} */ (numbered), 10);
}

test("an eviction says why", () => {
  const [line] = lines({ kind: "model_evicted", reason: "make_room", freed_bytes: 2 ** 20 });
  assert.equal(line?.title, "Evicted");
  assert.match(line?.detail ?? "", /another model needed its memory \(make_room\)\. 1 MiB freed/);
});

test("equal events in a row are one line, the newest first", () => {
  const refused = { kind: /** @type {const} */ ("request_refused"), reason: "queue_full" };
  const found = lines({ kind: "model_loaded" }, refused, refused, refused);
  assert.deepEqual(
    found.map(({ title, count }) => [title, count]),
    [
      ["Request refused", 3],
      ["Loaded", 1],
    ],
  );
});

test("responses that went well are no events, those that failed are", () => {
  const kind = /** @type {const} */ ("request_finished");
  const found = lines({ kind, outcome: "stop" }, { kind, outcome: "worker_crashed" });
  assert.deepEqual(
    found.map(({ title }) => title),
    ["Request failed"],
  );
});

test("a load that has ended is not shown as loading too", () => {
  const [loading, loaded] = [{ kind: "model_loading" }, { kind: "model_loaded" }];
  assert.equal(lines(/** @type {any} */ (loading), /** @type {any} */ (loaded)).length, 1);
  assert.equal(lines(/** @type {any} */ (loading)).length, 1);
});

test("a reason that is not known is shown as it is", () => {
  const [line] = lines({ kind: "request_refused", reason: "something_new" });
  assert.equal(line?.detail, "something_new");
});

test("a flood of refusals is a few lines, and what happened before it stays", () => {
  const kind = /** @type {const} */ ("request_refused");
  const flood = Array.from({ length: 300 }, (_, at) => ({
    kind,
    request_id: `r${at}`,
    model: at % 2 ? "m" : "n",
    reason: "queue_full",
  }));
  const evicted = /** @type {const} */ ({ kind: "model_evicted", reason: "make_room" });
  assert.deepEqual(
    lines(evicted, ...flood).map(({ title, count }) => [title, count]),
    [
      ["Request refused", 150],
      ["Request refused", 150],
      ["Evicted", 1],
    ],
  );
});

test("equal evictions with a load between them are two lines", () => {
  const evicted = /** @type {const} */ ({ kind: "model_evicted", reason: "make_room" });
  const loaded = /** @type {const} */ ({ kind: "model_loaded" });
  assert.equal(lines(evicted, loaded, evicted).length, 3);
});

test("a crash is one line with what it has freed, not an unloading too", () => {
  const found = lines(
    { kind: "worker_exited", cause: "signal", detail: "it was killed" },
    { kind: "model_evicted", reason: "worker_exited", freed_bytes: 2 ** 20 },
  );
  assert.deepEqual(
    found.map(({ title, detail }) => [title, detail]),
    [["Crashed", "it was killed; 1 MiB freed"]],
  );
});

test("in a cluster an event says on which host it was", () => {
  const [line] = lines({ kind: "model_loaded", seconds: 1, held_bytes: 2 ** 20, host: "abc" });
  assert.match(line?.detail ?? "", /it holds 1 MiB\. Host abc\.$/);
});
