// SPDX-License-Identifier: GPL-3.0-only
// Tokens per second, from counters that only grow.

const WINDOW_S = 5;
const KEPT_S = 1800;

/**
 * The counters of all models at one time of this page's own clock.
 *
 * @typedef {{atS: number, tokens: Readonly<Record<string, number>>}} Sample
 * @typedef {readonly Sample[]} Samples oldest first
 */

/**
 * The samples with those of one more status.
 *
 * @param {Samples} before
 * @param {Api.Status} status
 * @param {number} atS
 * @returns {Samples}
 */
export function noted(before, status, atS) {
  /** @type {Record<string, number>} */
  const tokens = {};
  for (const { model_id, completion_tokens_total } of status.instances) {
    tokens[model_id] = completion_tokens_total;
  }
  const first = before.findIndex(sample => sample.atS >= atS - KEPT_S);
  return [...(first > 0 ? before.slice(first) : first === 0 ? before : []), { atS, tokens }];
}

/**
 * Tokens per second of a model over the last seconds before sample `at`; `null` before there are
 * two samples. A counter that has fallen is that of a server that was started anew.
 *
 * @param {Samples} samples
 * @param {string} model
 * @param {number} [at]
 * @returns {number | null}
 */
export function speedOf(samples, model, at = samples.length - 1) {
  const last = samples[at];
  if (!last) return null;
  let first = at;
  while (first > 0 && last.atS - (samples[first - 1]?.atS ?? 0) <= WINDOW_S) first -= 1;
  // Where polls are rare, the one before counts, however long ago it was.
  const earlier = samples[first === at ? at - 1 : first];
  if (!earlier) return null;
  const gained = (last.tokens[model] ?? 0) - (earlier.tokens[model] ?? 0);
  return Math.max(0, gained) / (last.atS - earlier.atS);
}
