// SPDX-License-Identifier: GPL-3.0-only
import { bytes, seconds } from "./format.js";

/** @typedef {"quiet" | "good" | "warn" | "bad"} Tone */

/**
 * One line of the list of events; `count` equal ones in a row are one line.
 *
 * @typedef {object} EventLine
 * @property {number} sequence
 * @property {number} timeUnix of the latest of them
 * @property {string} model
 * @property {Tone} tone
 * @property {string} title
 * @property {string} detail
 * @property {number} count
 */

const GONE_WELL = new Set(["stop", "length", "answered", "cancelled"]);

/** @type {Readonly<Record<string, string>>} */
const EVICTIONS = {
  make_room: "It was idle, and another model needed its memory (make_room).",
  unload_requested: "Somebody asked for it (unload_requested).",
  file_changed: "Its file has changed; the next request loads the new one (file_changed).",
  worker_exited: "Its process had ended (worker_exited).",
  shutdown: "The server is shutting down (shutdown).",
};

/** @type {Readonly<Record<string, string>>} */
const REFUSALS = {
  queue_full: "The line in front of the model was full.",
  wait_timeout: "It had waited for as long as requests may.",
  cancelled: "Its client left before the model worked on it.",
  draining: "The server or the model is going out of service.",
  model_not_found: "No source has a model of this id.",
  model_exceeds_budget: "The model can never fit into the budget.",
  budget_exceeded: "The model did not fit, and nothing could be evicted for it.",
  load_failed: "The model could not be loaded.",
  worker_crashed: "The model's process had ended.",
  request_timeout: "It took longer than its own timeout_s.",
};

/**
 * The events that people should see, newest first. Answers that went well are not among them.
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
  for (let at = events.length - 1; at >= 0 && lines.length < most; at -= 1) {
    const event = events[at];
    if (!event || (event.kind === "model_loading" && ended.has(event.model))) continue;
    if (event.kind.startsWith("model_")) ended.add(event.model);
    const line = lineOf(event);
    if (!line) continue;
    const newer = lines.at(-1);
    if (newer && isSame(newer, line)) newer.count += 1;
    else lines.push(line);
  }
  return lines;
}

/**
 * @param {Api.Event} event
 * @returns {EventLine | null}
 */
function lineOf(event) {
  const said = words(event);
  if (said === null) return null;
  const [tone, title, detail] = said;
  const { sequence, time_unix, model } = event;
  return { sequence, timeUnix: time_unix, model, tone, title, detail, count: 1 };
}

/**
 * @param {Api.Event} event
 * @returns {[Tone, string, string] | null} tone, title and detail
 */
function words(event) {
  const reason = event.reason ?? "";
  switch (event.kind) {
    case "model_loading":
      return ["quiet", "Loading", ""];
    case "model_loaded":
      return [
        "good",
        "Loaded",
        `In ${seconds(event.seconds)}; it holds ${bytes(event.held_bytes ?? 0)}.`,
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
      return ["bad", "Crashed", event.detail ?? event.cause ?? ""];
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
  return retry_after_s ? `${message} Next try in ${seconds(retry_after_s)}.` : message;
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
