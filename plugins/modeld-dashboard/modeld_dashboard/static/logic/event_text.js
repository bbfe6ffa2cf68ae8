// SPDX-License-Identifier: GPL-3.0-only
import { bytes, seconds } from "./format.js";

/** @typedef {"quiet" | "good" | "warn" | "bad"} Tone */

/**
 * One line of the list of events. Equal ones are one line if only requests were refused or failed
 * between them, so that a flood of those does not push the rest out of sight.
 *
 * @typedef {object} EventLine
 * @property {number} sequence
 * @property {number} timeUnix of the latest of them
 * @property {string} model
 * @property {Tone} tone
 * @property {string} title
 * @property {string} detail
 * @property {number} count how many events it stands for
 */

const GONE_WELL = new Set(["stop", "length", "answered", "cancelled"]);

/** @type {Readonly<Record<string, string>>} */
const EVICTIONS = {
  make_room: "It was idle, and another model needed its memory (make_room).",
  idle: "Nobody had used it for as long as it may be unused (idle).",
  unload_requested: "Somebody asked for it (unload_requested).",
  file_changed: "Its file has changed; the next request loads the new one (file_changed).",
  settings_changed: "Its options have changed; the next request loads it anew (settings_changed).",
  file_removed: "Its file is not there any more, or cannot be used (file_removed).",
  shutdown: "The server is shutting down (shutdown).",
};

/** @type {Readonly<Record<string, string>>} */
const REFUSALS = {
  queue_full: "The line in front of the model was full.",
  wait_timeout: "It had waited for as long as requests may.",
  cancelled: "Its client left before the model worked on it.",
  draining: "The server or the model is going out of service.",
  model_not_found: "No model has this name, or several may be meant.",
  model_exceeds_budget: "The model can never fit into the budget.",
  budget_exceeded: "The model did not fit, and nothing could be evicted for it.",
  load_failed: "The model could not be loaded.",
  worker_crashed: "The model's process had ended.",
  request_timeout: "It took longer than its own timeout_s.",
};

/**
 * The events that people should see, newest first. Responses that went well are not among them.
 *
 * @param {readonly Api.Event[]} events oldest first
 * @param {number} most
 * @returns {EventLine[]}
 */
export function eventLines(events, most) {
  /** @type {EventLine[]} */
  const lines = [];
  // That a load has begun is worth a line only until it has ended.
  const ended = new Set();
  // What a crash has freed belongs to its line; that the model has left memory is no news then.
  const freed = new Map();
  /** @type {EventLine[]} */
  let near = [];
  for (let at = events.length - 1; at >= 0 && lines.length < most; at -= 1) {
    const event = events[at];
    if (!event || (event.kind === "model_loading" && ended.has(event.model))) continue;
    if (event.kind.startsWith("model_")) ended.add(event.model);
    if (event.kind === "model_evicted" && event.reason === "worker_exited") {
      freed.set(event.model, event.freed_bytes);
      continue;
    }
    const line = lineOf(event, freed.get(event.model));
    if (!line) continue;
    const newer = near.find(other => isSame(other, line));
    if (newer) {
      newer.count += 1;
      continue;
    }
    lines.push(line);
    near = event.request_id === undefined ? [line] : [...near, line];
  }
  return lines;
}

/**
 * @param {Api.Event} event
 * @param {number} [freedBytes] by the model's crash
 * @returns {EventLine | null}
 */
function lineOf(event, freedBytes) {
  const said = words(event, freedBytes);
  if (said === null) return null;
  const [tone, title, detail] = said;
  const { sequence, time_unix, model } = event;
  const where = event.host ? `Host ${event.host}.` : "";
  const told = [detail, where].filter(Boolean).join(" ");
  return { sequence, timeUnix: time_unix, model, tone, title, detail: told, count: 1 };
}

/**
 * @param {Api.Event} event
 * @returns {string} what a model goes without to fit, if it does
 */
function withLess(event) {
  return event.gives_up ? ` To fit, it has ${event.gives_up}.` : "";
}

/**
 * @param {Api.Event} event
 * @param {number} [freedBytes]
 * @returns {[Tone, string, string] | null} tone, title and detail
 */
function words(event, freedBytes) {
  const reason = event.reason ?? "";
  switch (event.kind) {
    case "model_loading":
      return ["quiet", "Loading", ""];
    case "model_loaded":
      return [
        "good",
        "Loaded",
        `In ${seconds(event.seconds)}; it holds ${bytes(event.held_bytes ?? 0)}.${withLess(event)}`,
      ];
    case "model_load_failed":
      return ["bad", "Load failed", failureDetail(event)];
    case "model_evicted":
      return [
        "quiet",
        reason === "make_room" ? "Evicted" : "Unloaded",
        `${EVICTIONS[reason] ?? reason} ${bytes(event.freed_bytes ?? 0)} freed.`,
      ];
    case "worker_exited":
      return ["bad", "Crashed", crashDetail(event, freedBytes)];
    case "request_refused":
      return [reason === "cancelled" ? "quiet" : "warn", "Request refused", refusal(reason)];
    case "request_finished":
      if (GONE_WELL.has(event.outcome ?? "")) return null;
      return ["bad", "Request failed", refusal(event.outcome ?? "")];
    default:
      return null;
  }
}

/** @param {Api.Event} event */
function failureDetail({ message = "", retry_after_s }) {
  return retry_after_s ? `${message}; next try in ${seconds(retry_after_s)}` : message;
}

/**
 * @param {Api.Event} event
 * @param {number} [freedBytes]
 */
function crashDetail({ detail, cause = "" }, freedBytes) {
  const said = detail || cause;
  return freedBytes ? `${said}; ${bytes(freedBytes)} freed` : said;
}

/** @param {string} reason */
function refusal(reason) {
  const known = REFUSALS[reason];
  return known ? `${known.slice(0, -1)} (${reason}).` : reason;
}

/**
 * @param {EventLine} one
 * @param {EventLine} other
 */
function isSame(one, other) {
  return one.title === other.title && one.model === other.model && one.detail === other.detail;
}
