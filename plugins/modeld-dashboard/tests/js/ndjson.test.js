// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { ReadableStream as NodeStream } from "node:stream/web";
import { test } from "node:test";
import { readLines } from "../../modeld_dashboard/static/logic/ndjson.js";

/** @param {Iterable<Uint8Array>} chunks */
async function linesOf(chunks) {
  const lines = [];
  for await (const line of readLines(/** @type {any} */ (NodeStream.from(chunks)))) {
    lines.push(line);
  }
  return lines;
}

const TEXT = '{"token":"żółć 日本語 👩‍👩‍👧‍👦"}\n{"token":"\\u2028"}\r\n\n{"done":true}\n';

test("lines are the same wherever the bytes are cut", async () => {
  const bytes = new TextEncoder().encode(TEXT);
  const whole = await linesOf([bytes]);
  assert.equal(whole.length, 3);
  assert.equal(JSON.parse(whole[0] ?? "").token, "żółć 日本語 👩‍👩‍👧‍👦");
  for (let size = 1; size <= bytes.length; size += 1) {
    const chunks = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size));
    assert.deepEqual(await linesOf(chunks), whole);
  }
});

test("a line is there before the next one has come", async () => {
  /** @type {ReadableStreamDefaultController<Uint8Array> | undefined} */
  let controller;
  const stream = new ReadableStream({
    start(given) {
      controller = given;
    },
  });
  const lines = readLines(stream);
  controller?.enqueue(new TextEncoder().encode('{"token":"a"}\n{"tok'));
  assert.equal((await lines.next()).value, '{"token":"a"}');
  controller?.enqueue(new TextEncoder().encode('en":"b"}'));
  controller?.close();
  assert.equal((await lines.next()).value, '{"token":"b"}');
  assert.equal((await lines.next()).done, true);
});

test("whoever stops reading cancels the stream", async () => {
  let cancelled = false;
  const stream = new ReadableStream({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode("{}\n"));
    },
    cancel() {
      cancelled = true;
    },
  });
  for await (const _line of readLines(stream)) break;
  assert.equal(cancelled, true);
});
