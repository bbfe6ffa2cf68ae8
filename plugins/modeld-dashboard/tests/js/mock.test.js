// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, RequestError } from "../../modeld_dashboard/static/server/client.js";
import { mockTransport } from "../../modeld_dashboard/static/server/mock.js";
import { MockWorld } from "../../modeld_dashboard/static/server/mock_world.js";

/** @param {Record<string, unknown>} body */
async function answered(body) {
  const client = new Client(mockTransport());
  return (await client.infer(body, new AbortController().signal)).text();
}

test("an invented stream is always the same and ends with its usage", async () => {
  const text = await answered({ prompt: "hello" });
  assert.equal(text, await answered({ prompt: "hello" }));
  const lines = text
    .trim()
    .split("\n")
    .map(line => JSON.parse(line));
  assert.ok(lines.filter(({ token }) => typeof token === "string").length >= 5);
  assert.equal(lines.at(-1).done, true);
  assert.equal(lines.at(-1).usage.completion_tokens, lines.length - 1);
});

test("without a stream there is one document", async () => {
  assert.equal(JSON.parse(await answered({ prompt: "hello", stream: false })).done, true);
});

test("a model that was not invented is refused as a server would", async () => {
  await assert.rejects(answered({ prompt: "hello", model: "nope" }), error => {
    assert.ok(error instanceof RequestError);
    assert.equal(error.reason, "model_not_found");
    assert.equal(error.problem.code, 404);
    assert.match(error.problem.requestId ?? "", /^mock-/);
    return true;
  });
});

test("a given up request ends at once", async () => {
  const client = new Client(mockTransport());
  const abort = new AbortController();
  const response = await client.infer({ prompt: "hello" }, abort.signal);
  const text = response.text();
  abort.abort();
  await assert.rejects(text, { name: "AbortError" });
});

test("a model can be loaded, pinned and unloaded", async () => {
  const client = new Client(mockTransport());
  const id = (await client.models())[1]?.id ?? "";
  const state = async () =>
    (await client.status()).instances.find(({ model_id }) => model_id === id);
  await client.move(id, "load");
  assert.equal((await state())?.state, "ready");
  await client.move(id, "pin");
  assert.equal((await state())?.pinned, true);
  await client.move(id, "unload");
  assert.equal((await state())?.state, "absent");
});

test("two worlds that begin together have the same past, within the budget", () => {
  const [one, other] = [new MockWorld(10_000), new MockWorld(10_000)];
  assert.deepEqual(one.feed(0), other.feed(0));
  assert.deepEqual(one.status(), other.status());
  for (let at = 10_000; at < 11_000; at += 1) {
    one.advance(at);
    const { held_mb, budget_mb, margin_mb } = one.status();
    assert.ok(held_mb <= budget_mb - margin_mb, `at ${at}`);
  }
  const reasons = new Set(one.feed(0).events.map(({ reason }) => reason));
  for (const reason of ["make_room", "queue_full", "worker_exited"]) assert.ok(reasons.has(reason));
});

test("the status has the models of all its pages", async () => {
  const all = ["a", "b", "c/d?", "e", "f"].map(model_id => ({ model_id }));
  /** @type {string[]} */
  const asked = [];
  const client = new Client(async path => {
    const query = new URL(path, "http://mock/ui/").searchParams;
    asked.push(query.get("after") ?? "");
    const rest = all.filter(({ model_id }) => model_id > (query.get("after") ?? ""));
    return Response.json({ instances: rest.slice(0, 2), instances_total: all.length });
  });
  const { instances } = await client.status();
  assert.deepEqual(instances, all);
  assert.deepEqual(asked, ["", "b", "e"]);
});

test("a model that goes between two pages ends nothing and is waited for by nobody", async () => {
  const client = new Client(async path => {
    const isFirst = new URL(path, "http://mock/ui/").searchParams.get("after") === "";
    return Response.json({ instances: isFirst ? [{ model_id: "a" }] : [], instances_total: 2 });
  });
  assert.equal((await client.status()).instances.length, 1);
});
