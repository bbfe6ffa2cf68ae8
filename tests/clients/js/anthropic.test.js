// SPDX-License-Identifier: GPL-3.0-only
// Anthropic's own client for JavaScript, unchanged, against a real server and a real model.

import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

const model = process.env.MODELD_TEST_MODEL;
const client = new Anthropic({
  baseURL: process.env.MODELD_TEST_SERVER,
  apiKey: "unused",
  maxRetries: 0,
});
const turn = { role: "user", content: "What is the capital of France?" };
const weather = {
  name: "weather",
  input_schema: {
    type: "object",
    properties: { city: { type: "string", maxLength: 20 } },
    required: ["city"],
  },
};

test("a message in one piece and as a stream has the same text", async () => {
  const wanted = { model, messages: [turn], max_tokens: 12, top_k: 1 };
  const whole = await client.messages.create(wanted);
  const stream = client.messages.stream(wanted);
  const text = await stream.finalText();
  assert.ok(text);
  assert.equal(text, whole.content[0].text);
  assert.equal((await stream.finalMessage()).usage.output_tokens, whole.usage.output_tokens);
});

test("a tool that must be called is called, and its result is taken", async () => {
  const wanted = { model, max_tokens: 200, tools: [weather] };
  const choice = { type: "tool", name: "weather", disable_parallel_tool_use: true };
  const said = await client.messages.create({ ...wanted, messages: [turn], tool_choice: choice });
  assert.equal(said.stop_reason, "tool_use");
  const call = said.content.find((block) => block.type === "tool_use");
  assert.equal(typeof call.input.city, "string");
  const result = { type: "tool_result", tool_use_id: call.id, content: "18 degrees" };
  const next = await client.messages.create({
    ...wanted,
    max_tokens: 8,
    messages: [
      turn,
      { role: "assistant", content: said.content },
      { role: "user", content: [result] },
    ],
  });
  assert.ok(next.content[0].text);
});

test("tokens are counted", async () => {
  const counted = await client.messages.countTokens({ model, messages: [turn] });
  assert.ok(counted.input_tokens > 5);
});

test("an unknown model is the client's own error", async () => {
  await assert.rejects(
    client.messages.create({ model: "none", max_tokens: 5, messages: [turn] }),
    Anthropic.NotFoundError,
  );
});
