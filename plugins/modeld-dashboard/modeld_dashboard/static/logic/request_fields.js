// SPDX-License-Identifier: GPL-3.0-only
// The fields of POST /infer that the playground offers, read from what the server says of itself.

/**
 * How a field is filled in: `whole` and `number` in a line, `choice` from a list, `lines` as texts
 * one below the other, `json` as JSON, `text` in a line and `long` in several.
 *
 * @typedef {"whole" | "number" | "choice" | "lines" | "json" | "text" | "long"} FieldKind
 *
 * @typedef {object} Field
 * @property {string} name as the server names it
 * @property {FieldKind} kind
 * @property {string} hint what it does, in a few words
 * @property {readonly (string | boolean)[]} choices
 * @property {readonly string[]} backends those that declare it; all know it if there is none
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [step]
 *
 * @typedef {Record<string, any>} Schema a JSON schema, as far as it is read here
 */

/** What the form has controls of its own for. */
const ELSEWHERE = ["model", "prompt", "messages", "stream"];

/** What most people look for first, in this order. */
const FIRST = [
  "max_tokens",
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "repeat_penalty",
  "seed",
  "stop",
];

const LONG_CHARACTERS = 1024;

/**
 * @param {Schema} openapi the document at `/openapi.json`
 * @returns {Field[]} empty if it describes no requests for text
 */
export function fieldsFrom(openapi) {
  /** @type {Record<string, Schema>} */
  const properties = openapi.components?.schemas?.InferBody?.properties ?? {};
  return Object.entries(properties)
    .filter(([name]) => !ELSEWHERE.includes(name))
    .map(([name, schema]) => fieldFrom(name, schema));
}

/**
 * Fields in groups, each with a heading: what is looked for first has none.
 *
 * @param {readonly Field[]} fields
 * @returns {{heading: string, fields: Field[]}[]} none of them empty
 */
export function grouped(fields) {
  const known = fields.filter(({ backends }) => backends.length === 0);
  const first = FIRST.flatMap(name => known.filter(field => field.name === name));
  const groups = new Map([
    ["", first],
    ["More", known.filter(field => !first.includes(field))],
  ]);
  for (const field of fields.filter(({ backends }) => backends.length > 0)) {
    const heading = `Of ${field.backends.join(", ")}`;
    groups.set(heading, [...(groups.get(heading) ?? []), field]);
  }
  return [...groups]
    .filter(([, members]) => members.length > 0)
    .map(([heading, members]) => ({ heading, fields: members.toSorted(byWidth) }));
}

/** @param {Field} field */
export function isWide({ kind }) {
  return kind === "lines" || kind === "json" || kind === "long";
}

/**
 * What needs a whole row leaves no gaps among the others where it comes last.
 *
 * @param {Field} one
 * @param {Field} other
 */
function byWidth(one, other) {
  return Number(isWide(one)) - Number(isWide(other));
}

/**
 * @param {string} name
 * @param {Schema} schema
 * @returns {Field}
 */
function fieldFrom(name, schema) {
  const kinds = alternatives(schema);
  const kind = kindOf(kinds);
  return {
    name,
    kind,
    hint: hintOf(kind, schema.description ?? ""),
    choices: choicesOf(kinds),
    backends: schema["x-modeld-backends"] ?? [],
    ...limitsOf(kind, kinds),
  };
}

/**
 * @param {Schema} schema
 * @returns {Schema[]} what it may be, without `null`
 */
function alternatives(schema) {
  if (Array.isArray(schema.anyOf)) return schema.anyOf.flatMap(alternatives);
  return schema.type === "null" ? [] : [schema];
}

/**
 * @param {readonly Schema[]} kinds
 * @returns {FieldKind}
 */
function kindOf(kinds) {
  const has = (/** @type {string} */ type) => kinds.some(kind => kind.type === type);
  if (choicesOf(kinds).length > 0) return "choice";
  if (has("number")) return "number";
  if (has("integer")) return "whole";
  if (has("array")) return "lines";
  if (!has("string")) return "json";
  return kinds.some(({ maxLength = 0 }) => maxLength >= LONG_CHARACTERS) ? "long" : "text";
}

/**
 * @param {readonly Schema[]} kinds
 * @returns {(string | boolean)[]}
 */
function choicesOf(kinds) {
  return kinds.flatMap(kind => {
    if (kind.type === "boolean") return [true, false];
    return kind.enum ?? (typeof kind.const === "string" ? [kind.const] : []);
  });
}

/**
 * @param {FieldKind} kind
 * @param {string} description
 */
function hintOf(kind, description) {
  if (kind === "lines") return `${description}; one per line`;
  return kind === "json" ? `${description} (JSON)` : description;
}

/**
 * @param {FieldKind} kind
 * @param {readonly Schema[]} kinds
 * @returns {{min?: number, max?: number, step?: number}} what is not limited is left out
 */
function limitsOf(kind, kinds) {
  if (kind !== "whole" && kind !== "number") return {};
  const numbers = kinds.filter(({ type }) => type === "number" || type === "integer");
  const mins = numbers.map(each => each.minimum ?? each.exclusiveMinimum ?? -Infinity);
  const maxs = numbers.map(each => each.maximum ?? each.exclusiveMaximum ?? Infinity);
  const [min, max] = [Math.min(...mins), Math.max(...maxs)];
  return {
    ...(Number.isFinite(min) && { min }),
    ...(Number.isFinite(max) && { max }),
    ...(kind === "whole" ? { step: 1 } : stepOf(max - min)),
  };
}

/** @param {number} span */
function stepOf(span) {
  if (!Number.isFinite(span)) return {};
  return { step: span <= 1 ? 0.01 : span <= 10 ? 0.05 : span <= 100 ? 0.1 : 1 };
}
