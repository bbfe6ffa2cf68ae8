// SPDX-License-Identifier: GPL-3.0-only
// Tokens per second, from counters that only grow.
import { instanceName } from "./instance_name.js";

const WINDOW_S = 5;
const KEPT_S = 1800;

/**
 * The counters of all models seen so far, at one time of this page's own clock, and their sum with
 * those of all others. A model that is not listed now has not counted since it was.
 *
 * @typedef {{atS: number, tokens: Readonly<Record<string, number>>, total: number}} Sample
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
  const latest = before.at(-1);
  /** @type {Record<string, number>} */
  const tokens = { ...latest?.tokens };
  for (const instance of status.instances) {
    tokens[instanceName(instance)] = instance.completion_tokens_total;
  }
  const total = status.completion_tokens_total ?? sumOf(tokens);
  const first = before.findIndex(sample => sample.atS >= atS - KEPT_S);
  const kept = first > 0 ? before.slice(first) : first === 0 ? before : [];
  const gained = total - (latest?.total ?? total);
  return [...withNew(kept, tokens, gained), { atS, tokens, total }];
}

/**
 * The samples with what models had counted before they were listed for the first time: no more than
 * `gained` of it is new.
 *
 * @param {Samples} samples
 * @param {Readonly<Record<string, number>>} tokens
 * @param {number} gained
 * @returns {Samples}
 */
function withNew(samples, tokens, gained) {
  const known = samples.at(-1)?.tokens ?? {};
  /** @type {Record<string, number>} */
  const had = {};
  for (const [model, counted] of Object.entries(tokens)) {
    if (!(model in known) && counted > gained) had[model] = counted - Math.max(0, gained);
  }
  if (Object.keys(had).length === 0) return samples;
  return samples.map(sample => ({ ...sample, tokens: { ...had, ...sample.tokens } }));
}

/** @param {Readonly<Record<string, number>>} tokens */
function sumOf(tokens) {
  return Object.values(tokens).reduce((sum, counted) => sum + counted, 0);
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
