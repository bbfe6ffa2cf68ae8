// SPDX-License-Identifier: GPL-3.0-only

const MOST_EVENTS = 512;

/**
 * What has been read of the server's feed so far.
 *
 * @typedef {object} FeedState
 * @property {string} feed which feed this is; another one after the server was started anew
 * @property {number} sequence
 * @property {readonly Api.Event[]} events the latest of models and as many of requests, oldest first
 * @property {Readonly<Record<string, number>>} heldBefore bytes by model before the first change
 * @property {readonly Api.MemoryChange[]} changes oldest first
 * @property {number} historyS
 */

/** @type {FeedState} */
export const EMPTY = Object.freeze({
  feed: "",
  sequence: 0,
  events: [],
  heldBefore: {},
  changes: [],
  historyS: 1800,
});

/**
 * The state after one more response; `null` if it belongs to another feed and all must be asked for.
 *
 * @param {FeedState} before
 * @param {Api.Feed} response
 * @returns {FeedState | null}
 */
export function withResponse(before, response) {
  if (before.feed !== "" && before.feed !== response.feed) return null;
  const isFirst = before.feed === "";
  const events = response.events.filter(event => event.sequence > before.sequence);
  const heldBefore = { ...(isFirst ? response.memory.held_before : before.heldBefore) };
  const all = isFirst ? response.memory.changes : [...before.changes, ...response.memory.changes];
  const beginUnix = response.server_time_unix - response.memory.history_s;
  const fresh = all.findIndex(change => change.time_unix >= beginUnix);
  const old = fresh === -1 ? all.length : fresh;
  for (const { model, held_bytes } of all.slice(0, old)) {
    if (held_bytes > 0) heldBefore[model] = held_bytes;
    else delete heldBefore[model];
  }
  return {
    feed: response.feed,
    sequence: response.sequence,
    events: events.length ? latest([...before.events, ...events]) : before.events,
    heldBefore,
    changes: all.slice(old),
    historyS: response.memory.history_s,
  };
}

/**
 * The events that are kept: however many requests there are, they push out only each other.
 *
 * @param {readonly Api.Event[]} events
 * @returns {Api.Event[]}
 */
function latest(events) {
  const ofRequests = events.filter(({ request_id }) => request_id !== undefined);
  const ofModels = events.filter(({ request_id }) => request_id === undefined);
  return [...ofModels.slice(-MOST_EVENTS), ...ofRequests.slice(-MOST_EVENTS)].sort(
    (one, other) => one.sequence - other.sequence,
  );
}
