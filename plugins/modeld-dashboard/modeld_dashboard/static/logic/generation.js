// SPDX-License-Identifier: GPL-3.0-only

/**
 * One request for text, from sending it to its end, as values. Times are in milliseconds on one
 * clock. A stopped request is `idle` again and keeps what has come.
 *
 * @typedef {"idle" | "requesting" | "success" | "error"} Phase
 *
 * @typedef {object} Problem
 * @property {string} error
 * @property {string} reason
 * @property {number} [code]
 * @property {string} [field]
 * @property {number | null} [retryAfterS]
 * @property {string | null} [requestId]
 *
 * @typedef {object} Call
 * @property {string} name
 * @property {string} arguments JSON text
 *
 * @typedef {object} Generation
 * @property {Phase} phase
 * @property {boolean} stopped
 * @property {string} model that was asked for; empty for the server's default model
 * @property {string} log the lines as they came, the earliest left out where there are too many
 * @property {string} text
 * @property {string} reasoning what the model thought before
 * @property {readonly Call[]} calls the tools that it calls, as far as they have come
 * @property {string} result JSON of the last complete response
 * @property {Problem | null} problem
 * @property {Api.Usage | null} usage
 * @property {string | null} finishReason
 * @property {string | null} requestId
 * @property {number} pieces lines that had text, reasoning or a part of a tool call
 * @property {number} startedMs
 * @property {number | null} firstTokenMs
 * @property {number | null} lastTokenMs
 * @property {number | null} endedMs
 */

/** @type {Generation} */
export const IDLE = Object.freeze({
  phase: "idle",
  stopped: false,
  model: "",
  log: "",
  text: "",
  reasoning: "",
  calls: [],
  result: "",
  problem: null,
  usage: null,
  finishReason: null,
  requestId: null,
  pieces: 0,
  startedMs: 0,
  firstTokenMs: null,
  lastTokenMs: null,
  endedMs: null,
});

/** How many characters of the log are kept, at least; twice as many at most, and one line. */
export const LOG_KEPT = 100_000;

/**
 * @param {number} nowMs
 * @param {string} [model]
 * @returns {Generation}
 */
export function begun(nowMs, model = "") {
  return { ...IDLE, phase: "requesting", model, startedMs: nowMs };
}

/**
 * The generation after one more line of its stream.
 *
 * @param {Generation} before
 * @param {string} line
 * @param {number} nowMs
 * @returns {Generation}
 */
export function withLine(before, line, nowMs) {
  const after = { ...before, log: `${kept(before.log)}${line}\n` };
  const value = parsed(line);
  if (value === null) {
    const error = "the server sent a line that is not JSON";
    return failed(after, { error, reason: "invalid_stream" }, nowMs);
  }
  if (typeof value.error === "string") return failed(after, problemOf(value), nowMs);
  if (value.done === true) return completed(after, value, nowMs);
  const isPiece = [value.token, value.reasoning, value.tool_call].some(part => part != null);
  if (isPiece) {
    after.text += textOf(value.token);
    after.reasoning += textOf(value.reasoning);
    after.calls = withPart(after.calls, value.tool_call);
    after.pieces += 1;
    after.firstTokenMs ??= nowMs;
    after.lastTokenMs = nowMs;
  }
  return after;
}

/**
 * The generation after the stream has ended: well only if its last line has come.
 *
 * @param {Generation} before
 * @param {number} nowMs
 * @returns {Generation}
 */
export function atEnd(before, nowMs) {
  if (before.phase !== "requesting") return before;
  const error = "the connection was cut before the response was complete";
  return failed(before, { error, reason: "connection_cut" }, nowMs);
}

/**
 * @param {Generation} before
 * @param {Problem} problem
 * @param {number} nowMs
 * @returns {Generation}
 */
export function failed(before, problem, nowMs) {
  const { retryAfterS, requestId, ...body } = problem;
  return {
    ...before,
    phase: "error",
    problem: { ...problem, requestId: requestId ?? before.requestId },
    result: JSON.stringify(body, null, 2),
    endedMs: nowMs,
  };
}

/**
 * @param {Generation} before
 * @param {number} nowMs
 * @returns {Generation}
 */
export function stopped(before, nowMs) {
  if (before.phase !== "requesting") return before;
  return { ...before, phase: "idle", stopped: true, endedMs: nowMs };
}

/**
 * Tokens per second, from the first token on; `null` where nothing can be said.
 *
 * While tokens come, each line counts as one; at the end the server's own count is there.
 *
 * @param {Generation} generation
 * @returns {number | null}
 */
export function tokensPerSecond({ firstTokenMs, lastTokenMs, startedMs, endedMs, pieces, usage }) {
  const tokens = usage?.completion_tokens ?? pieces;
  if (firstTokenMs === null || lastTokenMs === null) {
    // Without a stream there is only the whole time.
    if (!usage || endedMs === null || endedMs <= startedMs) return null;
    return (tokens * 1000) / (endedMs - startedMs);
  }
  if (tokens < 2 || lastTokenMs <= firstTokenMs) return null;
  return ((tokens - 1) * 1000) / (lastTokenMs - firstTokenMs);
}

/**
 * An error body, whatever it is that was sent.
 *
 * @param {Record<string, unknown>} body
 * @returns {Problem}
 */
export function problemOf(body) {
  /** @type {Problem} */
  const problem = {
    error: typeof body.error === "string" ? body.error : "the server sent no reason",
    reason: typeof body.reason === "string" ? body.reason : "unknown",
  };
  if (typeof body.code === "number") problem.code = body.code;
  if (typeof body.field === "string") problem.field = body.field;
  return problem;
}

/**
 * @param {Generation} before
 * @param {Record<string, unknown>} value
 * @param {number} nowMs
 * @returns {Generation}
 */
function completed(before, value, nowMs) {
  return {
    ...before,
    phase: "success",
    text: typeof value.content === "string" ? value.content : before.text,
    reasoning: typeof value.reasoning === "string" ? value.reasoning : before.reasoning,
    calls: Array.isArray(value.tool_calls) ? value.tool_calls.map(callOf) : before.calls,
    result: JSON.stringify(value, null, 2),
    usage: /** @type {Api.Usage | undefined} */ (value.usage) ?? null,
    finishReason: typeof value.finish_reason === "string" ? value.finish_reason : null,
    endedMs: nowMs,
  };
}

/**
 * The calls after one more part of one; only its first part has a name.
 *
 * @param {readonly Call[]} calls
 * @param {unknown} part
 * @returns {readonly Call[]}
 */
function withPart(calls, part) {
  if (part === null || typeof part !== "object") return calls;
  const index = "index" in part && typeof part.index === "number" ? part.index : 0;
  const { name, arguments: more } = callOf(part);
  const begun = calls[index] ?? { name: "", arguments: "" };
  const after = [...calls];
  after[index] = { name: begun.name + name, arguments: begun.arguments + more };
  return after;
}

/**
 * @param {unknown} value
 * @returns {Call}
 */
function callOf(value) {
  const call = /** @type {Record<string, unknown>} */ (value ?? {});
  return { name: textOf(call.name), arguments: textOf(call.arguments) };
}

/** @param {unknown} value */
function textOf(value) {
  return typeof value === "string" ? value : "";
}

/**
 * A log with room for more. It is cut seldom and by much, so that long streams stay cheap.
 *
 * @param {string} log
 * @returns {string}
 */
function kept(log) {
  return log.length > 2 * LOG_KEPT ? log.slice(log.indexOf("\n", LOG_KEPT) + 1) : log;
}

/**
 * @param {string} line
 * @returns {Record<string, unknown> | null}
 */
function parsed(line) {
  try {
    const value = JSON.parse(line);
    return value !== null && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
