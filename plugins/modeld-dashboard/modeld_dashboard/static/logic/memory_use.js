// SPDX-License-Identifier: GPL-3.0-only
import { instanceName } from "./instance_name.js";

/**
 * How the budget is used now, in MiB.
 *
 * @typedef {object} MemoryUse
 * @property {readonly {model: string, mib: number}[]} models that hold memory
 * @property {number} reservedMib taken, but by no model that is listed
 * @property {number} usedMib
 * @property {number} marginMib
 * @property {number | null} freeMib `null` where the budget is unlimited
 * @property {number | null} budgetMib `null` where it is unlimited
 * @property {number} wholeMib what the whole bar stands for
 */

/**
 * @param {Api.Status} status
 * @returns {MemoryUse}
 */
export function memoryUse(status) {
  const models = status.instances
    .filter(({ held_mb }) => held_mb > 0)
    .map(instance => ({ model: instanceName(instance), mib: instance.held_mb }));
  const listed = models.reduce((sum, { mib }) => sum + mib, 0);
  const { held_mb: usedMib, margin_mb: marginMib } = status;
  const budgetMib = status.budget_mb || null;
  const freeMib = budgetMib === null ? null : Math.max(0, budgetMib - marginMib - usedMib);
  return {
    models,
    reservedMib: Math.max(0, usedMib - listed),
    usedMib,
    marginMib,
    freeMib,
    budgetMib,
    // Sizes are rounded up one by one, so together they may be a little more than the budget.
    wholeMib: Math.max(budgetMib ?? 0, Math.max(listed, usedMib) + (budgetMib ? marginMib : 0), 1),
  };
}
