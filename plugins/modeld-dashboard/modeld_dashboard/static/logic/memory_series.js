// SPDX-License-Identifier: GPL-3.0-only

const MIB = 2 ** 20;
// A step is two points: where the old value ends and, just after it, where the new one begins.
const STEP_S = 0.001;

/**
 * What each model held over the last half hour, in MiB, as values at common times.
 *
 * @typedef {object} MemorySeries
 * @property {number[]} times in seconds since 1970
 * @property {Map<string, number[]>} held by model
 */

/**
 * @param {import("./feed_state.js").FeedState} feed
 * @param {number} nowUnix
 * @returns {MemorySeries}
 */
export function memorySeries(feed, nowUnix) {
  const beginUnix = nowUnix - feed.historyS;
  const models = new Set([
    ...Object.keys(feed.heldBefore),
    ...feed.changes.map(({ model }) => model),
  ]);
  /** @type {Map<string, number[]>} */
  const held = new Map([...models].map(model => [model, []]));
  /** @type {number[]} */
  const times = [];
  const now = new Map(Object.entries(feed.heldBefore));
  /** @param {number} timeUnix */
  const point = timeUnix => {
    times.push(timeUnix);
    for (const [model, values] of held) values.push((now.get(model) ?? 0) / MIB);
  };
  point(beginUnix);
  for (const { time_unix, model, held_bytes } of feed.changes) {
    const at = Math.max(time_unix, (times.at(-1) ?? beginUnix) + STEP_S);
    point(at);
    now.set(model, held_bytes);
    point(at + STEP_S);
  }
  point(Math.max(nowUnix, (times.at(-1) ?? beginUnix) + STEP_S));
  return { times, held };
}

/**
 * The upper edge of each layer when all are put on top of each other; `null` where one is empty.
 *
 * @param {readonly (readonly number[])[]} layers lowest first
 * @returns {(number | null)[][]}
 */
export function stacked(layers) {
  const sums = new Array(layers[0]?.length ?? 0).fill(0);
  return layers.map(layer =>
    layer.map((value, at) => {
      sums[at] += value;
      return value > 0 ? sums[at] : null;
    }),
  );
}
