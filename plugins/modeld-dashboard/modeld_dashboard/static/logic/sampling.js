// SPDX-License-Identifier: GPL-3.0-only
// The fields of POST /infer that the playground offers, and how a form becomes a request.

/**
 * @typedef {"whole" | "number" | "flag" | "off" | "lines" | "json" | "text"} FieldKind
 *
 * @typedef {object} Field
 * @property {string} name as the server names it
 * @property {FieldKind} kind
 * @property {string} hint what it does, in a few words
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [step]
 */

/** @type {readonly Field[]} */
export const MAIN_FIELDS = [
  { name: "max_tokens", kind: "whole", min: 1, hint: "longest answer" },
  { name: "temperature", kind: "number", min: 0, max: 5, step: 0.05, hint: "0 is greedy" },
  { name: "top_p", kind: "number", min: 0, max: 1, step: 0.01, hint: "1 keeps all" },
  { name: "top_k", kind: "whole", min: 0, hint: "0 keeps all" },
  { name: "min_p", kind: "number", min: 0, max: 1, step: 0.01, hint: "0 keeps all" },
  { name: "repeat_penalty", kind: "number", min: 0.01, max: 10, step: 0.05, hint: "1 is off" },
  { name: "seed", kind: "whole", min: -1, hint: "-1 is random" },
  { name: "stop", kind: "lines", hint: "texts that end the answer, one per line" },
];

/** @type {readonly Field[]} */
export const MORE_FIELDS = [
  { name: "typical_p", kind: "number", min: 0, max: 1, step: 0.01, hint: "1 keeps all" },
  { name: "top_n_sigma", kind: "number", min: 0, max: 100, step: 0.1, hint: "0 is off" },
  { name: "dynatemp_range", kind: "number", min: 0, max: 5, step: 0.05, hint: "0 is off" },
  { name: "dynatemp_exponent", kind: "number", min: 0, max: 10, step: 0.1, hint: "above 0" },
  { name: "xtc_probability", kind: "number", min: 0, max: 1, step: 0.01, hint: "0 is off" },
  { name: "xtc_threshold", kind: "number", min: 0, max: 1, step: 0.01, hint: "0 to 1" },
  { name: "mirostat", kind: "whole", min: 0, max: 2, hint: "0, 1 or 2" },
  { name: "mirostat_tau", kind: "number", min: 0, max: 100, step: 0.1, hint: "in bits" },
  { name: "mirostat_eta", kind: "number", min: 0, max: 1, step: 0.01, hint: "0 to 1" },
  { name: "repeat_last_n", kind: "whole", min: -1, hint: "-1 is the context" },
  { name: "presence_penalty", kind: "number", min: -2, max: 2, step: 0.05, hint: "0 is off" },
  { name: "frequency_penalty", kind: "number", min: -2, max: 2, step: 0.05, hint: "0 is off" },
  { name: "dry_multiplier", kind: "number", min: 0, max: 10, step: 0.05, hint: "0 is off" },
  { name: "dry_base", kind: "number", min: 1, max: 10, step: 0.05, hint: "1 to 10" },
  { name: "dry_allowed_length", kind: "whole", min: 1, hint: "in tokens" },
  { name: "dry_penalty_last_n", kind: "whole", min: -1, hint: "-1 is the context" },
  { name: "logprobs", kind: "whole", min: 0, max: 20, hint: "likeliest tokens to list" },
  { name: "timeout_s", kind: "number", min: 0, max: 86_400, step: 1, hint: "in seconds" },
  { name: "cache_salt", kind: "text", hint: "shares its cache with equals only" },
  { name: "ignore_eos", kind: "flag", hint: "go on after the end" },
  { name: "cache_prompt", kind: "off", hint: "compute the whole prompt" },
  { name: "dry_sequence_breakers", kind: "lines", hint: "one per line" },
  { name: "logit_bias", kind: "json", hint: 'JSON, as {"15043": 2, "13": false}' },
  { name: "json_schema", kind: "json", hint: "JSON schema for the answer" },
  { name: "grammar", kind: "text", hint: "GBNF grammar for the answer" },
];

/**
 * @typedef {object} Form
 * @property {string} prompt
 * @property {boolean} chat
 * @property {string} system
 * @property {readonly Api.Message[]} turns what was said before, in a chat
 * @property {string} model
 * @property {boolean} stream
 * @property {Readonly<Record<string, string | boolean>>} settings by the field's name
 */

/** What a form says that cannot be sent. */
export class FieldError extends Error {
  /**
   * @param {string} field
   * @param {string} message
   */
  constructor(field, message) {
    super(`${field}: ${message}`);
    this.field = field;
  }
}

/**
 * The body for `POST /infer`. Only what is set is in it; ranges are the server's business.
 *
 * @param {Form} form
 * @returns {Record<string, unknown>}
 * @throws {FieldError} a field cannot be read
 */
export function requestBody(form) {
  /** @type {Record<string, unknown>} */
  const body = form.chat ? { messages: messages(form) } : { prompt: form.prompt };
  const model = form.model.trim();
  if (model) body.model = model;
  body.stream = form.stream;
  for (const field of [...MAIN_FIELDS, ...MORE_FIELDS]) {
    const value = fieldValue(field, form.settings[field.name]);
    if (value !== undefined) body[field.name] = value;
  }
  return body;
}

/**
 * @param {Form} form
 * @returns {Api.Message[]}
 */
function messages({ system, turns, prompt }) {
  const first = system.trim() ? [{ role: "system", content: system }] : [];
  return [...first, ...turns, { role: "user", content: prompt }];
}

/**
 * @param {Field} field
 * @param {string | boolean | undefined} set
 * @returns {unknown} `undefined` where nothing is set
 */
function fieldValue({ name, kind }, set) {
  if (kind === "flag" || kind === "off") return set === true ? kind === "flag" : undefined;
  if (typeof set !== "string" || set.trim() === "") return undefined;
  switch (kind) {
    case "whole":
    case "number":
      return numberFrom(name, kind, set);
    case "lines":
      return set.split("\n").filter(line => line !== "");
    case "json":
      try {
        return JSON.parse(set);
      } catch {
        throw new FieldError(name, "this is not JSON");
      }
    default:
      return set;
  }
}

/**
 * @param {string} name
 * @param {"whole" | "number"} kind
 * @param {string} text
 * @returns {number}
 */
function numberFrom(name, kind, text) {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new FieldError(name, "this is not a number");
  if (kind === "whole" && !Number.isInteger(value)) {
    throw new FieldError(name, "this is not a whole number");
  }
  return value;
}
