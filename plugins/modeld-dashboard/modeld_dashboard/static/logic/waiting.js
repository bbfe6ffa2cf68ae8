// SPDX-License-Identifier: GPL-3.0-only
import { counted } from "./format.js";

/**
 * What a request waits for, as far as the server's last status tells.
 *
 * @param {Api.Status | null} status
 * @param {string} model empty for the server's default model, whose name is not known here
 * @returns {string}
 */
export function waitText(status, model) {
  const instance = status?.instances.find(({ model_id }) => model_id === model);
  if (!model && status?.warmups_in_progress) return "A model is being loaded.";
  if (instance?.state === "loading") return "The model is being loaded.";
  if (instance?.state === "draining") return "The model is leaving memory.";
  if (instance?.queue_len) {
    return `In line for the model: ${counted(instance.queue_len, "request")}.`;
  }
  return "Waiting for the model.";
}
