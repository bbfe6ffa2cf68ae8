// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import {
  requestBody as bodyOf,
  FieldError,
} from "../../modeld_dashboard/static/logic/request_body.js";
import { fieldsFrom } from "../../modeld_dashboard/static/logic/request_fields.js";

const OPENAPI = new URL("../../../../docs/reference/openapi.json", import.meta.url);
const FIELDS = fieldsFrom(JSON.parse(await readFile(OPENAPI, "utf8")));

/** @type {import("../../modeld_dashboard/static/logic/request_body.js").Form} */
const FORM = {
  prompt: "hi",
  chat: false,
  system: "",
  turns: [],
  model: "",
  stream: true,
  settings: {},
};

/** @param {typeof FORM} form */
function requestBody(form) {
  return bodyOf(form, FIELDS);
}

test("only what is set is sent", () => {
  assert.deepEqual(requestBody(FORM), { prompt: "hi", stream: true });
});

test("settings are sent with their types", () => {
  const settings = {
    max_tokens: "40",
    temperature: "0",
    top_p: "",
    stop: "END\n\n###\n",
    logit_bias: '{"13": false}',
    ignore_eos: "true",
    cache_prompt: "false",
    cache_salt: "a",
    mirostat: "2",
    dry_sequence_breakers: "a",
    unknown: "1",
  };
  assert.deepEqual(requestBody({ ...FORM, model: " m.gguf ", stream: false, settings }), {
    prompt: "hi",
    model: "m.gguf",
    stream: false,
    max_tokens: 40,
    temperature: 0,
    stop: ["END", "###"],
    logit_bias: { 13: false },
    ignore_eos: true,
    cache_prompt: false,
    cache_salt: "a",
    mirostat: 2,
    dry_sequence_breakers: ["a"],
  });
});

test("a chat has its system message, what was said before, and the new message", () => {
  const turns = [
    { role: "user", content: "a" },
    { role: "assistant", content: "b" },
  ];
  assert.deepEqual(requestBody({ ...FORM, chat: true, system: "s", turns }).messages, [
    { role: "system", content: "s" },
    ...turns,
    { role: "user", content: "hi" },
  ]);
  const alone = requestBody({ ...FORM, chat: true, system: " " });
  assert.deepEqual(alone.messages, [{ role: "user", content: "hi" }]);
  assert.equal("prompt" in alone, false);
});

for (const [field, value] of [
  ["max_tokens", "4.5"],
  ["temperature", "warm"],
  ["json_schema", "{"],
]) {
  test(`${field} of ${value} is refused by its name`, () => {
    assert.throws(
      () => requestBody({ ...FORM, settings: { [String(field)]: String(value) } }),
      error => error instanceof FieldError && error.field === field,
    );
  });
}
