// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  atEnd,
  begun,
  failed,
  LOG_KEPT,
  stopped,
  tokensPerSecond,
  withLine,
} from "../../modeld_dashboard/static/logic/generation.js";

const DONE =
  '{"done":true,"content":"ab","finish_reason":"stop","usage":' +
  '{"prompt_tokens":3,"completion_tokens":5,"cached_tokens":0,"total_tokens":8}}';

/** @param {readonly [string, number][]} lines each with its time in ms */
function after(lines) {
  return lines.reduce((state, [line, atMs]) => withLine(state, line, atMs), begun(1000));
}

test("a complete stream is a success with the server's own numbers", () => {
  const state = atEnd(
    after([
      ['{"token":"a"}', 1200],
      ['{"token":"b"}', 1700],
      [DONE, 1700],
    ]),
    1800,
  );
  assert.equal(state.phase, "success");
  assert.equal(state.text, "ab");
  assert.equal(state.finishReason, "stop");
  assert.equal(state.firstTokenMs, 1200);
  assert.equal(state.endedMs, 1700);
  assert.deepEqual(JSON.parse(state.result), JSON.parse(DONE));
  assert.equal(state.log.split("\n").length, 4);
  assert.equal(tokensPerSecond(state), 8);
});

test("reasoning and tool calls are counted, and are no part of the text", () => {
  const state = after([
    ['{"reasoning":"hm"}', 1100],
    ['{"tool_call":{"index":0,"id":"1","name":"f","arguments":"{}"}}', 1150],
    ['{"token":"a"}', 1200],
  ]);
  assert.equal(state.text, "a");
  assert.equal(state.reasoning, "hm");
  assert.deepEqual(state.calls, [{ name: "f", arguments: "{}" }]);
  assert.equal(state.pieces, 3);
  assert.equal(state.firstTokenMs, 1100);
});

test("the parts of a call are put together, each call by its index", () => {
  const state = after([
    ['{"tool_call":{"index":0,"id":"1","name":"f","arguments":"{\\"a\\":"}}', 1100],
    ['{"tool_call":{"index":1,"id":"2","name":"g","arguments":"{}"}}', 1150],
    ['{"tool_call":{"index":0,"arguments":"1}"}}', 1200],
  ]);
  assert.deepEqual(state.calls, [
    { name: "f", arguments: '{"a":1}' },
    { name: "g", arguments: "{}" },
  ]);
});

test("a response in one piece has its reasoning and its calls", () => {
  const whole = { ...JSON.parse(DONE), content: "", reasoning: "hm" };
  const call = { id: "1", name: "f", arguments: "{}" };
  const state = after([[JSON.stringify({ ...whole, tool_calls: [call] }), 1200]]);
  assert.equal(state.phase, "success");
  assert.equal(state.reasoning, "hm");
  assert.deepEqual(state.calls, [{ name: "f", arguments: "{}" }]);
});

test("a stream that ends without its last line is an error", () => {
  const state = atEnd(after([['{"token":"a"}', 1200]]), 1300);
  assert.equal(state.phase, "error");
  assert.equal(state.problem?.reason, "connection_cut");
  assert.equal(state.text, "a");
  assert.equal(JSON.parse(state.result).reason, "connection_cut");
});

test("an error line ends the stream with its reason", () => {
  const line = '{"error":"it died","code":503,"reason":"worker_crashed"}';
  const state = atEnd(
    after([
      ['{"token":"a"}', 1200],
      [line, 1300],
    ]),
    1400,
  );
  assert.equal(state.phase, "error");
  assert.deepEqual(JSON.parse(state.result), JSON.parse(line));
  assert.equal(state.endedMs, 1300);
});

for (const line of ["<html>", "1", "null", '"text"']) {
  test(`a line that is ${line} is an error`, () => {
    assert.equal(after([[line, 1200]]).problem?.reason, "invalid_stream");
  });
}

test("a stopped request is idle again and keeps what has come", () => {
  const state = stopped(after([['{"token":"a"}', 1200]]), 1300);
  assert.equal(state.phase, "idle");
  assert.equal(state.stopped, true);
  assert.equal(state.text, "a");
  assert.equal(atEnd(state, 1400).phase, "idle");
});

test("what belongs to the headers is not in the error's body", () => {
  const problem = {
    error: "full",
    reason: "queue_full",
    code: 429,
    retryAfterS: 3,
    requestId: "r",
  };
  const state = failed(begun(0), problem, 10);
  assert.deepEqual(JSON.parse(state.result), { error: "full", reason: "queue_full", code: 429 });
  assert.equal(state.problem?.retryAfterS, 3);
});

test("without a stream the speed is that of the whole time", () => {
  assert.equal(tokensPerSecond(after([[DONE, 2000]])), 5);
});

test("one token alone has no speed", () => {
  assert.equal(tokensPerSecond(after([['{"token":"a"}', 1200]])), null);
});

test("the log of a very long stream keeps its latest lines, all of them whole", () => {
  let state = begun(0);
  for (let at = 0; at < 30_000; at += 1) state = withLine(state, `{"token":"t${at}"}`, at);
  assert.ok(state.log.length >= LOG_KEPT && state.log.length < 2 * LOG_KEPT + 100);
  const tokens = state.log
    .trimEnd()
    .split("\n")
    .map(line => JSON.parse(line).token);
  assert.equal(tokens.at(-1), "t29999");
  assert.equal(tokens.at(0), `t${30_000 - tokens.length}`);
  assert.equal(state.pieces, 30_000);
});
