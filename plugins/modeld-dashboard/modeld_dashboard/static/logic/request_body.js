// SPDX-License-Identifier: GPL-3.0-only
// How the playground's form becomes a request.

/** @typedef {import("./request_fields.js").Field} Field */

/**
 * @typedef {object} Form
 * @property {string} prompt
 * @property {boolean} chat
 * @property {string} system
 * @property {readonly Api.Message[]} turns what was said before, in a chat
 * @property {string} model
 * @property {boolean} stream
 * @property {Readonly<Record<string, string>>} settings as they are written, by the field's name
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
 * @param {readonly Field[]} fields those that the form offers
 * @returns {Record<string, unknown>}
 * @throws {FieldError} a field cannot be read
 */
export function requestBody(form, fields) {
  /** @type {Record<string, unknown>} */
  const body = form.chat ? { messages: messages(form) } : { prompt: form.prompt };
  const model = form.model.trim();
  if (model) body.model = model;
  body.stream = form.stream;
  for (const field of fields) {
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
 * @param {string | undefined} set
 * @returns {unknown} `undefined` where nothing is set
 */
function fieldValue({ name, kind, choices }, set) {
  if (set === undefined || set.trim() === "") return undefined;
  switch (kind) {
    case "whole":
    case "number":
      return numberFrom(name, kind, set);
    case "choice":
      return choices.find(choice => String(choice) === set);
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
