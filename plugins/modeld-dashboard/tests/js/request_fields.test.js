// SPDX-License-Identifier: GPL-3.0-only
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fieldsFrom, grouped, isWide } from "../../modeld_dashboard/static/logic/request_fields.js";
import { MOCK_DOCUMENT } from "../../modeld_dashboard/static/server/mock_document.js";

const OPENAPI = new URL("../../../../docs/reference/openapi.json", import.meta.url);
const DOCUMENT = JSON.parse(await readFile(OPENAPI, "utf8"));
const FIELDS = fieldsFrom(DOCUMENT);

/** @param {string} name */
function field(name) {
  const found = FIELDS.find(each => each.name === name);
  assert.ok(found, name);
  return found;
}

test("every field of a request is offered, but those with controls of their own", () => {
  const names = Object.keys(DOCUMENT.components.schemas.InferBody.properties);
  const elsewhere = ["model", "prompt", "messages", "stream"];
  assert.deepEqual(
    FIELDS.map(({ name }) => name),
    names.filter(name => !elsewhere.includes(name)),
  );
  assert.ok(FIELDS.every(({ hint }) => hint));
});

test("each is filled in as its type asks for", () => {
  const kinds = {
    max_tokens: "whole",
    temperature: "number",
    ignore_eos: "choice",
    stop: "lines",
    dry_sequence_breakers: "lines",
    logit_bias: "json",
    json_schema: "json",
    cache_salt: "text",
    grammar: "long",
  };
  for (const [name, kind] of Object.entries(kinds)) assert.equal(field(name).kind, kind, name);
});

test("a number has the limits that the server says, and a step that fits them", () => {
  const { min, max, step } = field("temperature");
  assert.deepEqual([min, max, step], [0, 5, 0.05]);
  assert.deepEqual([field("top_p").min, field("top_p").step], [0, 0.01]);
  assert.deepEqual([field("seed").min, field("seed").step], [-1, 1]);
  assert.deepEqual([field("mirostat_tau").max, field("mirostat_tau").step], [100, 0.1]);
});

test("a truth value is true, false or left out", () => {
  assert.deepEqual(field("cache_prompt").choices, [true, false]);
  assert.deepEqual(field("top_k").choices, []);
});

test("what is looked for first comes first, and each backend's own under its name", () => {
  const groups = grouped(FIELDS);
  assert.deepEqual(
    groups.map(({ heading }) => heading),
    ["", "More", "Of llama-cpp"],
  );
  assert.equal(groups[0]?.fields[0]?.name, "max_tokens");
  assert.deepEqual(groups[1]?.fields.map(isWide), groups[1]?.fields.map(isWide).sort());
  assert.ok(groups[2]?.fields.some(({ name }) => name === "mirostat"));
  assert.equal(groups.flatMap(({ fields }) => fields).length, FIELDS.length);
});

test("a choice among texts and a number without limits are read too", () => {
  const mood = fieldsFrom(MOCK_DOCUMENT).find(({ name }) => name === "mood");
  assert.deepEqual([mood?.kind, mood?.choices], ["choice", ["dry", "warm"]]);
  const properties = { x: { type: "number", description: "x" } };
  const [free] = fieldsFrom({ components: { schemas: { InferBody: { properties } } } });
  assert.deepEqual([free?.kind, free?.min, free?.max, free?.step], ["number", ...Array(3)]);
});

test("a document without requests for text has no fields", () => {
  assert.deepEqual(fieldsFrom({}), []);
  assert.deepEqual(grouped([]), []);
});
