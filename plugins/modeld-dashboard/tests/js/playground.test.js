// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../../modeld_dashboard/static/server/client.js";
import { MOCK_DOCUMENT } from "../../modeld_dashboard/static/server/mock_document.js";
import { Moves } from "../../modeld_dashboard/static/state/moves.js";
import { Playground } from "../../modeld_dashboard/static/state/playground.js";

const DONE = '{"done":true,"content":"ab","finish_reason":"stop"}\n';

/** A server that streams what it is told; each request has its own stream. */
class Streams {
  /** @type {ReadableStreamDefaultController<Uint8Array>[]} */
  all = [];

  /** @type {import("../../modeld_dashboard/static/server/client.js").Transport} */
  transport = async () =>
    new Response(new ReadableStream({ start: controller => void this.all.push(controller) }));

  /**
   * @param {number} at
   * @param {string} text
   */
  write(at, text) {
    this.all[at]?.enqueue(new TextEncoder().encode(text));
  }
}

/** @returns {[Playground, Streams]} */
function begin() {
  const streams = new Streams();
  const playground = new Playground(new Client(streams.transport), () => {});
  playground.form.patch({ prompt: "hello", model: " m " });
  return [playground, streams];
}

/** Until everything that is due now has happened. */
function settled() {
  return new Promise(resolve => setImmediate(resolve));
}

test("a request that was given up changes nothing in the one after it", async () => {
  const [playground, streams] = begin();
  const first = playground.send();
  await settled();
  playground.stop();
  const second = playground.send();
  await settled();
  streams.all[0]?.error(new Error("the connection is gone"));
  await first;
  assert.equal(playground.generation.value.phase, "requesting");
  streams.write(1, DONE);
  await second;
  assert.equal(playground.generation.value.phase, "success");
});

test("tokens are drawn some times a second, and the end at once", async () => {
  const [playground, streams] = begin();
  let draws = 0;
  playground.generation.watch(() => {
    draws += 1;
  });
  const sent = playground.send();
  await settled();
  for (let at = 0; at < 500; at += 1) streams.write(0, '{"token":"a"}\n');
  await settled();
  assert.ok(draws < 10, `${draws} draws`);
  streams.write(0, DONE);
  await sent;
  const { phase, pieces, log, model } = playground.generation.value;
  assert.deepEqual([phase, pieces, log.split("\n").length, model], ["success", 500, 502, "m"]);
});

test("a generation of a chat that was ended meanwhile is not part of the next one", async () => {
  const [playground, streams] = begin();
  playground.form.patch({ chat: true, turns: [{ role: "user", content: "before" }] });
  const sent = playground.send();
  await settled();
  playground.forgetChat();
  streams.write(0, DONE);
  await sent;
  assert.equal(playground.generation.value.phase, "success");
  assert.deepEqual(playground.form.value.turns, []);
});

test("a generation becomes part of the chat that it was made in", async () => {
  const [playground, streams] = begin();
  playground.form.patch({ chat: true });
  const sent = playground.send();
  await settled();
  streams.write(0, DONE);
  await sent;
  assert.deepEqual(
    playground.form.value.turns.map(({ content }) => content),
    ["hello", "ab"],
  );
  assert.equal(playground.form.value.prompt, "");
});

test("a key is sent as the bytes of UTF-8, whatever it is", async () => {
  /** @type {(string | null)[]} */
  const sent = [];
  const client = new Client(async (_path, { headers }) => {
    sent.push(new Headers(headers).get("Authorization"));
    return new Response("[]");
  });
  client.useKey("schlüssel…");
  await client.models();
  const bytes = Buffer.from(sent[0] ?? "", "latin1");
  assert.equal(bytes.toString("utf8"), "Bearer schlüssel…");
});

test("a model may be named like a member of every object", async () => {
  /** @type {string[]} */
  const asked = [];
  const client = new Client(async path => {
    asked.push(path);
    return new Response('{"error":"no","reason":"queue_full"}', { status: 429 });
  });
  const server = /** @type {any} */ ({ pollNow: () => {} });
  const moves = new Moves(client, server);
  await moves.move("constructor", "load");
  assert.deepEqual(asked, ["../models/constructor/load"]);
  assert.equal(moves.problems.value.get("constructor"), "no");
  moves.dismiss("constructor");
  assert.equal(moves.problems.value.size + moves.running.value.size, 0);
});

test("the server says what can be set, and what was known stays where it does not", async () => {
  let respond = () => new Response(JSON.stringify(MOCK_DOCUMENT));
  const playground = new Playground(new Client(async () => respond()), () => {});
  await playground.learnFields();
  const known = playground.fields.value;
  assert.ok(known.some(({ name }) => name === "mood"));
  respond = () => new Response("{}", { status: 503 });
  await playground.learnFields();
  assert.equal(playground.fields.value, known);
});
