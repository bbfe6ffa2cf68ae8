// SPDX-License-Identifier: GPL-3.0-only
// OpenAI's JavaScript client with modeld: a response, and one that goes on from it.
//
//     npm install openai
//     modeld serve --models-dir models
//     node examples/clients/openai_client.mjs

import OpenAI from "openai";

const client = new OpenAI({
  baseURL: process.env.OPENAI_BASE_URL ?? "http://127.0.0.1:8080/v1",
  apiKey: "unused", // or a key of the server, where it wants one
});
const [model] = (await client.models.list()).data;

const first = await client.responses.create({
  model: model.id,
  input: "What is the capital of France?",
  max_output_tokens: 40,
});
console.log(first.output_text);

const stream = await client.responses.create({
  model: model.id,
  input: "And of Spain?",
  previous_response_id: first.id,
  max_output_tokens: 40,
  stream: true,
});
for await (const event of stream) {
  if (event.type === "response.output_text.delta") {
    process.stdout.write(event.delta);
  }
}
