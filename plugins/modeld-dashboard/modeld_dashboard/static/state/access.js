// SPDX-License-Identifier: GPL-3.0-only
import { Store } from "./store.js";

const NAME = "modeld-api-key";

/**
 * The API key of this tab. It is kept until the tab is closed, and sent to this server only.
 *
 * @typedef {object} AccessState
 * @property {boolean} hasKey
 * @property {null | "missing" | "wrong"} problem why the server has refused the last request
 */
export class Access {
  /** @type {Store<AccessState>} */
  store;
  /** @type {import("../server/client.js").Client} */
  #client;

  /** @param {import("../server/client.js").Client} client */
  constructor(client) {
    this.#client = client;
    const key = stored();
    client.useKey(key);
    this.store = new Store(/** @type {AccessState} */ ({ hasKey: key !== "", problem: null }));
  }

  /** @param {string} key */
  save(key) {
    this.#client.useKey(key);
    keep(key);
    this.store.value = { hasKey: key !== "", problem: null };
  }

  clear() {
    this.save("");
  }

  /** The server has answered 401. */
  refused() {
    this.store.patch({ problem: this.#client.hasKey ? "wrong" : "missing" });
  }
}

function stored() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

/** @param {string} key */
function keep(key) {
  try {
    if (key) sessionStorage.setItem(NAME, key);
    else sessionStorage.removeItem(NAME);
  } catch {
    // Storage is switched off: the key lasts as long as this page.
  }
}
