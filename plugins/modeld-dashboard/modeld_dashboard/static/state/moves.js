// SPDX-License-Identifier: GPL-3.0-only
import { RequestError } from "../server/client.js";
import { Store } from "./store.js";

/** @typedef {"load" | "unload" | "pin" | "unpin"} Verb */

/** What is being done to models from this page, and what went wrong with it. */
export class Moves {
  /** @type {Store<ReadonlyMap<string, Verb>>} the model to what is being done to it */
  running = new Store(new Map());
  /** @type {Store<ReadonlyMap<string, string>>} the model to why the last move failed */
  problems = new Store(new Map());
  /** @type {import("../server/client.js").Client} */
  #client;
  /** @type {import("./server.js").Server} */
  #server;

  /**
   * @param {import("../server/client.js").Client} client
   * @param {import("./server.js").Server} server
   */
  constructor(client, server) {
    this.#client = client;
    this.#server = server;
  }

  /**
   * @param {string} model
   * @param {Verb} verb
   */
  async move(model, verb) {
    if (this.running.value.has(model)) return;
    this.running.value = new Map([...this.running.value, [model, verb]]);
    this.problems.value = without(this.problems.value, model);
    try {
      const done = this.#client.move(model, verb);
      this.#server.pollNow();
      await done;
    } catch (error) {
      const message = error instanceof RequestError ? error.message : "this did not work";
      this.problems.value = new Map([...this.problems.value, [model, message]]);
    }
    this.running.value = without(this.running.value, model);
    this.#server.pollNow();
  }

  /** @param {string} model */
  dismiss(model) {
    this.problems.value = without(this.problems.value, model);
  }
}

/**
 * @template T
 * @param {ReadonlyMap<string, T>} all
 * @param {string} name
 * @returns {ReadonlyMap<string, T>}
 */
function without(all, name) {
  return new Map([...all].filter(([other]) => other !== name));
}
