// SPDX-License-Identifier: GPL-3.0-only
// Ollama's own client for JavaScript, unchanged, against a real server and a real model.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Ollama } from "ollama";

const model = process.env.MODELD_TEST_MODEL;
const client = new Ollama({ host: process.env.MODELD_TEST_SERVER });
const turn = { role: "user", content: "What is the capital of France?" };
const options = { num_predict: 12, temperature: 0 };

test("a chat in one piece and as a stream has the same text", async () => {
  const whole = await client.chat({ model, messages: [turn], options });
  let text = "";
  let last;
  for await (const part of await client.chat({ model, messages: [turn], options, stream: true })) {
    text += part.message.content;
    last = part;
  }
  assert.ok(text);
  assert.equal(text, whole.message.content);
  assert.equal(last.done, true);
  assert.equal(last.eval_count, whole.eval_count);
});

test("a generation keeps to a schema", async () => {
  const format = {
    type: "object",
    properties: { age: { type: "integer", minimum: 0, maximum: 99 } },
    required: ["age"],
  };
  const said = await client.generate({ model, prompt: "Bob is seven. As JSON:", format });
  assert.equal(typeof JSON.parse(said.response).age, "number");
});

test("models are listed and shown, and those in memory too", async () => {
  const { models } = await client.list();
  assert.ok(models.some((each) => each.name === model));
  assert.ok((await client.show({ model })).capabilities.includes("completion"));
  assert.ok((await client.ps()).models.some((each) => each.name === model));
});

test("a stream that is given up ends the work", async () => {
  const wanted = { model, messages: [turn], options: { num_predict: 500 }, stream: true };
  const stream = await client.chat(wanted);
  await assert.rejects(
    async () => {
      for await (const _part of stream) {
        stream.abort();
      }
    },
    { name: "AbortError" },
  );
});

test("an unknown model is an error with its status", async () => {
  await assert.rejects(client.chat({ model: "none", messages: [turn] }), { status_code: 404 });
});
