// SPDX-License-Identifier: GPL-3.0-only

const LONGEST_MS = 15_000;

/**
 * How long to wait before asking the server again: the usual time, doubled with each failure.
 *
 * @param {number} usualMs
 * @param {number} failures in a row
 * @returns {number}
 */
export function nextDelayMs(usualMs, failures) {
  return failures === 0
    ? usualMs
    : Math.max(usualMs, Math.min(LONGEST_MS, 1000 * 2 ** (failures - 1)));
}
