// SPDX-License-Identifier: GPL-3.0-only
// What the requests of the last half hour tell about speed.

const BUCKET_S = 10;
const RECENT = 20;

/**
 * Values of several models at common times. `null` is where a model has none.
 *
 * @typedef {object} ModelSeries
 * @property {number[]} times in seconds since 1970
 * @property {Map<string, (number | null)[]>} values by model
 */

/**
 * Tokens per second of each model, as the average of every ten seconds. Samples of the counters
 * count where there are any; before the first one, each generation counts as if its tokens had come
 * evenly.
 *
 * @param {readonly Api.Event[]} events
 * @param {import("./speed.js").Samples} samples
 * @param {{nowUnix: number, nowS: number, spanS: number}} clocks the server's time, the samples'
 *   time at the same moment, and how far back to look
 * @returns {ModelSeries}
 */
export function speedSeries(events, samples, { nowUnix, nowS, spanS }) {
  const endUnix = Math.floor(nowUnix / BUCKET_S) * BUCKET_S;
  const count = Math.floor(spanS / BUCKET_S);
  const beginUnix = endUnix - count * BUCKET_S;
  const sampledUnix = samples[0] ? samples[0].atS - nowS + nowUnix : Number.POSITIVE_INFINITY;
  /** @type {Map<string, number[]>} */
  const tokens = new Map();
  /** @param {string} model @param {number} from @param {number} to @param {number} gained */
  const spread = (model, from, to, gained) => {
    const buckets = tokens.get(model) ?? new Array(count).fill(0);
    tokens.set(model, buckets);
    const perS = gained / Math.max(to - from, 0.001);
    const first = Math.max(0, Math.floor((from - beginUnix) / BUCKET_S));
    const last = Math.min(count - 1, Math.floor((to - beginUnix) / BUCKET_S));
    for (let at = first; at <= last; at += 1) {
      const opens = beginUnix + at * BUCKET_S;
      const shared = Math.min(to, opens + BUCKET_S) - Math.max(from, opens);
      buckets[at] += perS * Math.max(shared, 0);
    }
  };
  for (const event of events) {
    const { kind, model, time_unix, seconds, first_token_s, completion_tokens = 0 } = event;
    if (kind !== "request_finished" || completion_tokens === 0) continue;
    const from = time_unix - (seconds ?? 0) + (first_token_s ?? 0);
    const to = Math.min(time_unix, sampledUnix);
    const part = (to - from) / Math.max(time_unix - from, 0.001);
    if (part > 0) spread(model, from, to, completion_tokens * Math.min(1, part));
  }
  for (let at = 1; at < samples.length; at += 1) {
    const [one, two] = [samples[at - 1], samples[at]];
    if (!one || !two) continue;
    const shift = nowUnix - nowS;
    for (const [model, total] of Object.entries(two.tokens)) {
      const gained = total - (one.tokens[model] ?? 0);
      if (gained > 0) spread(model, one.atS + shift, two.atS + shift, gained);
    }
  }
  const times = Array.from({ length: count }, (_, at) => beginUnix + (at + 0.5) * BUCKET_S);
  return { times, values: new Map([...tokens].map(([model, sums]) => [model, rates(sums)])) };
}

/**
 * The time to the first token of every request, at the time when the request ended.
 *
 * @param {readonly Api.Event[]} events
 * @param {number} beginUnix
 * @returns {ModelSeries} in seconds
 */
export function firstTokenSeries(events, beginUnix) {
  const shown = events
    .filter(event => hasFirstToken(event) && event.time_unix >= beginUnix)
    // The server's clock may have been set back; a chart needs its times in order.
    .sort((one, other) => one.time_unix - other.time_unix);
  /** @type {Map<string, (number | null)[]>} */
  const values = new Map(shown.map(({ model }) => [model, new Array(shown.length).fill(null)]));
  shown.forEach(({ model, first_token_s }, at) => {
    const own = values.get(model);
    if (own) own[at] = first_token_s ?? null;
  });
  return { times: shown.map(({ time_unix }) => time_unix), values };
}

/**
 * The median of the latest times to the first token of each model, in seconds.
 *
 * @param {readonly Api.Event[]} events
 * @returns {Map<string, number>}
 */
export function firstTokenMedians(events) {
  /** @type {Map<string, number[]>} */
  const latest = new Map();
  for (const event of events.filter(hasFirstToken).reverse()) {
    const own = latest.get(event.model) ?? [];
    latest.set(event.model, own);
    if (own.length < RECENT) own.push(event.first_token_s ?? 0);
  }
  return new Map([...latest].map(([model, values]) => [model, median(values)]));
}

/**
 * @param {readonly number[]} values at least one
 * @returns {number}
 */
export function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2;
}

/** @param {Api.Event} event */
function hasFirstToken({ kind, first_token_s }) {
  return kind === "request_finished" && typeof first_token_s === "number";
}

/**
 * Sums of buckets as rates, without the zeros between which nothing happens.
 *
 * @param {readonly number[]} sums
 * @returns {(number | null)[]}
 */
function rates(sums) {
  return sums.map((sum, at) => {
    const isQuiet = sum === 0 && !sums[at - 1] && !sums[at + 1];
    return isQuiet ? null : sum / BUCKET_S;
  });
}
