// SPDX-License-Identifier: GPL-3.0-only

/**
 * What may be null, as a server writes it.
 *
 * @param {string} description
 * @param {Record<string, unknown>} schema
 */
function field(description, schema) {
  return { anyOf: [schema, { type: "null" }], default: null, description };
}

const TEXTS = { type: "array", items: { type: "string" } };

/** What an invented server says of its API: a field of each kind, one of them a backend's own. */
export const MOCK_DOCUMENT = {
  openapi: "3.1.0",
  components: {
    schemas: {
      InferBody: {
        properties: {
          prompt: field("text to go on with", { type: "string" }),
          stream: field("send tokens as they come", { type: "boolean" }),
          max_tokens: field("longest generation", { type: "integer", minimum: 1 }),
          temperature: field("0 always takes the most likely token", {
            type: "number",
            minimum: 0,
            maximum: 5,
          }),
          top_p: field("keep the likeliest tokens; 1: all", {
            type: "number",
            exclusiveMinimum: 0,
            maximum: 1,
          }),
          seed: field("makes the generation repeatable", { type: "integer", minimum: -1 }),
          stop: field("texts that end the generation", { anyOf: [{ type: "string" }, TEXTS] }),
          grammar: field("what the generation conforms to", { type: "string", maxLength: 16_384 }),
          cache_salt: field("shares its cache with equals", { type: "string", maxLength: 256 }),
          cache_prompt: field("false computes the whole prompt", { type: "boolean" }),
          logit_bias: field("token ids to what is added to their logits", { type: "object" }),
          mood: {
            ...field("how the invented generation sounds", {
              type: "string",
              enum: ["dry", "warm"],
            }),
            "x-modeld-backends": ["mock"],
          },
        },
      },
    },
  },
};
