// SPDX-License-Identifier: GPL-3.0-only
import { EMPTY, withResponse } from "../logic/feed_state.js";
import { nextDelayMs } from "../logic/pacing.js";
import { noted } from "../logic/speed.js";
import { RequestError } from "../server/client.js";
import { Store } from "./store.js";

/**
 * What is known of the server.
 *
 * @typedef {object} ServerState
 * @property {readonly Api.Model[] | null} models `null` before the first response
 * @property {Api.Status | null} status the last one, also while the server is out of reach
 * @property {import("../logic/feed_state.js").FeedState} feed
 * @property {import("../logic/speed.js").Samples} samples
 * @property {import("../logic/generation.js").Problem | null} problem why the last poll failed
 * @property {number} failures polls that have failed in a row
 * @property {number} clockOffsetS the server's clock minus this machine's
 */

/** Asks the server how it is, again and again, while the page can be seen. */
export class Server {
  /** @type {Store<ServerState>} */
  store = new Store(
    /** @type {ServerState} */ ({
      models: null,
      status: null,
      feed: EMPTY,
      samples: [],
      problem: null,
      failures: 0,
      clockOffsetS: 0,
    }),
  );
  /** @type {import("../server/client.js").Client} */
  #client;
  /** @type {import("./access.js").Access} */
  #access;
  #everyMs = 1000;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #isPolling = false;
  #isWanted = false;

  /**
   * @param {import("../server/client.js").Client} client
   * @param {import("./access.js").Access} access
   */
  constructor(client, access) {
    this.#client = client;
    this.#access = access;
    document.addEventListener("visibilitychange", () => this.pollNow());
    access.store.watch(() => {
      if (access.store.value.problem === null) this.#startOver();
    });
  }

  /** The server's time now, in seconds since 1970. */
  get nowUnix() {
    return Date.now() / 1000 + this.store.value.clockOffsetS;
  }

  /** @param {number} everyMs how often to ask while all goes well */
  pollEvery(everyMs) {
    this.#everyMs = everyMs;
    this.pollNow();
  }

  /** Ask at once, unless the page cannot be seen or a key is needed first. */
  pollNow() {
    clearTimeout(this.#timer);
    this.#isWanted = this.#isPolling;
    if (document.hidden || this.#isPolling || this.#access.store.value.problem) return;
    this.#poll();
  }

  /** Have the server look for models again. */
  async refreshModels() {
    this.store.patch({ models: await this.#client.refresh() });
  }

  #startOver() {
    this.store.patch({ problem: null, failures: 0 });
    this.pollNow();
  }

  async #poll() {
    this.#isPolling = true;
    const went = await this.#guarded(async () => {
      const feed = this.store.value.feed;
      const [status, response] = await Promise.all([
        this.#client.status(),
        this.#client.feed(feed.sequence),
      ]);
      this.#take(status, response);
      if (this.store.value.models === null) {
        this.store.patch({ models: await this.#client.models() });
      }
    });
    this.#isPolling = false;
    if (went) this.store.patch({ problem: null, failures: 0 });
    if (document.hidden || this.#access.store.value.problem) return;
    // What somebody waits for may have happened after the server had answered.
    const delayMs = this.#isWanted ? 0 : nextDelayMs(this.#everyMs, this.store.value.failures);
    this.#timer = setTimeout(() => this.pollNow(), delayMs);
  }

  /**
   * @param {Api.Status} status
   * @param {Api.Feed} response
   */
  #take(status, response) {
    const before = this.store.value;
    const feed = withResponse(before.feed, response);
    this.store.patch({
      status,
      // Another feed is a server that was started anew: all of it comes with the next poll.
      feed: feed ?? EMPTY,
      samples: feed ? noted(before.samples, status, performance.now() / 1000) : [],
      models: feed ? before.models : null,
      clockOffsetS: response.server_time_unix - Date.now() / 1000,
    });
  }

  /**
   * @param {() => Promise<void>} work
   * @returns {Promise<boolean>} whether it went well
   */
  async #guarded(work) {
    try {
      await work();
      return true;
    } catch (error) {
      if (error instanceof RequestError && error.reason === "unauthorized") this.#access.refused();
      const problem =
        error instanceof RequestError
          ? error.problem
          : { error: "the server's response cannot be read", reason: "invalid_response" };
      this.store.patch({ problem, failures: this.store.value.failures + 1 });
      return false;
    }
  }
}
