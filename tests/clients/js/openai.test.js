// SPDX-License-Identifier: GPL-3.0-only
// OpenAI's own client for JavaScript, unchanged, against a real server and a real model.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

const model = process.env.MODELD_TEST_MODEL;
const client = new OpenAI({
  baseURL: `${process.env.MODELD_TEST_SERVER}/v1`,
  apiKey: "unused",
  maxRetries: 0,
});
const turn = { role: "user", content: "What is the capital of France?" };
const parameters = {
  type: "object",
  properties: { city: { type: "string", maxLength: 20 } },
  required: ["city"],
};

test("a chat in one piece and as a stream has the same text", async () => {
  const wanted = { model, messages: [turn], max_tokens: 12, temperature: 0 };
  const whole = await client.chat.completions.create(wanted);
  const stream = await client.chat.completions.create({ ...wanted, stream: true });
  let text = "";
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
  }
  assert.ok(text);
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
});

test("a tool that must be called is called, and its result is taken", async () => {
  const tools = [{ type: "function", function: { name: "weather", parameters } }];
  const said = await client.chat.completions.create({
    model,
    messages: [turn],
    tools,
    tool_choice: "required",
    parallel_tool_calls: false,
    temperature: 0,
    max_tokens: 200,
  });
  const { message, finish_reason: reason } = said.choices[0];
  assert.equal(reason, "tool_calls");
  const [call] = message.tool_calls;
  assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
  const result = { role: "tool", tool_call_id: call.id, content: "18 degrees" };
  const next = await client.chat.completions.create({
    model,
    messages: [turn, message, result],
    tools,
    max_tokens: 8,
  });
  assert.ok(next.choices[0].message.content);
});

test("the helper for streams gathers a chat", async () => {
  const stream = client.chat.completions.stream({ model, messages: [turn], max_tokens: 8 });
  assert.ok(await stream.finalContent());
});

test("a response is made, gone on from, listed and dropped", async () => {
  const first = await client.responses.create({
    model,
    input: turn.content,
    max_output_tokens: 12,
    temperature: 0,
  });
  assert.ok(first.output_text);
  const second = await client.responses.create({
    model,
    input: "And of Spain?",
    previous_response_id: first.id,
    max_output_tokens: 4,
  });
  assert.ok(second.usage.input_tokens > first.usage.input_tokens);
  assert.equal((await client.responses.retrieve(second.id)).output_text, second.output_text);
  const kinds = [];
  for await (const item of client.responses.inputItems.list(second.id, { limit: 1, order: "asc" })) {
    kinds.push(item.role);
  }
  assert.deepEqual(kinds, ["user", "assistant", "user"]);
  await client.responses.delete(second.id);
  await assert.rejects(client.responses.retrieve(second.id), OpenAI.NotFoundError);
});

test("a response is streamed as events that the helper understands", async () => {
  const stream = client.responses.stream({
    model,
    input: [turn],
    tools: [{ type: "function", name: "weather", parameters, strict: true }],
    tool_choice: { type: "function", name: "weather" },
    parallel_tool_calls: false,
    temperature: 0,
    max_output_tokens: 200,
  });
  const types = [];
  for await (const event of stream) {
    types.push(event.type);
  }
  assert.equal(types[0], "response.created");
  assert.ok(types.includes("response.function_call_arguments.delta"));
  const [call] = (await stream.finalResponse()).output;
  assert.equal(typeof JSON.parse(call.arguments).city, "string");
});

test("completions, models and embeddings", async () => {
  const said = await client.completions.create({
    model,
    prompt: "The capital of France is",
    max_tokens: 4,
    temperature: 0,
  });
  assert.match(said.choices[0].text, /Paris/);
  const ids = [];
  for await (const each of client.models.list()) {
    ids.push(each.id);
  }
  assert.ok(ids.includes(model));
  await assert.rejects(client.embeddings.create({ model, input: "a cat" }), { code: "not_supported" });
});

test("errors are of the client's own classes and name the field", async () => {
  await assert.rejects(
    client.chat.completions.create({ model: "none", messages: [turn] }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found",
  );
  await assert.rejects(
    client.responses.create({ model, input: "hi", tools: [{ type: "web_search" }] }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === "tools[0].type",
  );
});
