// SPDX-License-Identifier: GPL-3.0-only

/**
 * A value that can be watched. It is replaced, never changed in place.
 *
 * @template T
 */
export class Store {
  /** @type {T} */
  #value;
  /** @type {Set<() => void>} */
  #watchers = new Set();

  /** @param {T} value */
  constructor(value) {
    this.#value = value;
  }

  get value() {
    return this.#value;
  }

  /** @param {T} value */
  set value(value) {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const watcher of this.#watchers) watcher();
  }

  /** @param {Partial<T>} changes */
  patch(changes) {
    this.value = { ...this.#value, ...changes };
  }

  /**
   * @param {() => void} watcher
   * @returns {() => void} ends the watch
   */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}
