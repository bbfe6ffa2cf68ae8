// SPDX-License-Identifier: GPL-3.0-only
// Numbers as people read them, always with their unit.

const GROUPED = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

/** Stands where there is no value. */
export const NONE = "–";

/**
 * @param {number} value
 * @returns {string}
 */
export function whole(value) {
  return GROUPED.format(Math.round(value));
}

/**
 * A size that is given in MiB.
 *
 * @param {number} sizeMib
 * @returns {string}
 */
export function mib(sizeMib) {
  return sizeMib >= 10_240 ? `${(sizeMib / 1024).toFixed(1)} GiB` : `${whole(sizeMib)} MiB`;
}

/**
 * A size that is given in bytes.
 *
 * @param {number} sizeBytes
 * @returns {string}
 */
export function bytes(sizeBytes) {
  const sizeMib = sizeBytes / 2 ** 20;
  return sizeMib > 0 && sizeMib < 1 ? "< 1 MiB" : mib(sizeMib);
}

/**
 * A duration that is given in seconds.
 *
 * @param {number | null | undefined} durationS
 * @returns {string}
 */
export function seconds(durationS) {
  if (durationS === null || durationS === undefined) return NONE;
  if (durationS < 1) return `${Math.round(durationS * 1000)} ms`;
  if (durationS < 10) return `${durationS.toFixed(2)} s`;
  if (durationS < 100) return `${durationS.toFixed(1)} s`;
  return span(durationS);
}

/**
 * A long duration, in its two largest units.
 *
 * @param {number} durationS
 * @returns {string}
 */
export function span(durationS) {
  const s = Math.floor(durationS);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/**
 * How long ago something was, roughly, so that the text does not change all the time.
 *
 * @param {number} thenUnix 0 means never
 * @param {number} nowUnix
 * @returns {string}
 */
export function ago(thenUnix, nowUnix) {
  if (thenUnix === 0) return "never";
  const s = Math.max(0, Math.floor(nowUnix - thenUnix));
  if (s < 5) return "just now";
  if (s < 60) return `${s - (s % 5)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}

/**
 * @param {number | null | undefined} perSecond
 * @returns {string} without the unit
 */
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return NONE;
  return perSecond < 100 ? perSecond.toFixed(1) : whole(perSecond);
}

/**
 * The time of day, in the browser's zone.
 *
 * @param {number} timeUnix
 * @returns {string}
 */
export function clock(timeUnix) {
  return new Date(timeUnix * 1000).toLocaleTimeString("en-GB");
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 * @returns {string}
 */
export function counted(count, one, many = `${one}s`) {
  return `${whole(count)} ${count === 1 ? one : many}`;
}
