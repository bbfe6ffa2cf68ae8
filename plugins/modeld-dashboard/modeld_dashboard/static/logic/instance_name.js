// SPDX-License-Identifier: GPL-3.0-only

/**
 * What an instance is called: its model, and in a cluster the host that it is on.
 *
 * @param {Pick<Api.Instance, "model_id" | "host">} instance
 */
export function instanceName({ model_id, host }) {
  return host ? `${model_id} @ ${host}` : model_id;
}
