// SPDX-License-Identifier: GPL-3.0-only
import { problemOf } from "../logic/generation.js";

/**
 * Sends one request; `fetch` in live mode, invented responses in mock mode. Paths are relative to the
 * page, which stands at `…/ui/`.
 *
 * @typedef {(path: string, init: RequestInit) => Promise<Response>} Transport
 */

const PATIENCE_MS = 15_000;
const STATUS_PAGE = 1000;

/** A request that was refused or did not get through; `reason` is the server's stable word. */
export class RequestError extends Error {
  /** @param {import("../logic/generation.js").Problem} problem */
  constructor(problem) {
    super(problem.error);
    this.problem = problem;
  }

  get reason() {
    return this.problem.reason;
  }
}

/** The server's API, as far as the pages use it. */
export class Client {
  /** @type {Transport} */
  #transport;
  #key = "";

  /** @param {Transport} transport */
  constructor(transport) {
    this.#transport = transport;
  }

  /** @param {string} key empty for none */
  useKey(key) {
    // Headers take bytes as characters; servers compare keys as the bytes of UTF-8.
    this.#key = String.fromCharCode(...new TextEncoder().encode(key));
  }

  get hasKey() {
    return this.#key !== "";
  }

  /** @returns {Promise<Api.Model[]>} */
  async models() {
    return modelsIn(await this.#json("GET", "../models"));
  }

  /** @returns {Promise<Api.Model[]>} */
  async refresh() {
    return modelsIn(await this.#json("POST", "../models/refresh", null));
  }

  /** @returns {Promise<Record<string, any>>} what the server says of its API */
  async openapi() {
    return /** @type {Record<string, any>} */ (await this.#json("GET", "../openapi.json"));
  }

  /**
   * The status with the models of all pages.
   *
   * @returns {Promise<Api.Status>}
   */
  async status() {
    const status = await this.#statusPage("");
    let page = status.instances;
    while (page.length > 0 && status.instances.length < status.instances_total) {
      page = (await this.#statusPage(page.at(-1)?.model_id ?? "")).instances;
      status.instances.push(...page);
    }
    return status;
  }

  /**
   * @param {string} after
   * @returns {Promise<Api.Status>}
   */
  async #statusPage(after) {
    const path = `../status?limit=${STATUS_PAGE}&after=${encodeURIComponent(after)}`;
    return /** @type {Api.Status} */ (await this.#json("GET", path));
  }

  /**
   * @param {number} after
   * @returns {Promise<Api.Feed>}
   */
  async feed(after) {
    return /** @type {Api.Feed} */ (await this.#json("GET", `../ui/feed?after=${after}`));
  }

  /**
   * Load, unload, pin or unpin a model; resolves when it is done, however long that takes.
   *
   * @param {string} model
   * @param {"load" | "unload" | "pin" | "unpin"} verb
   */
  async move(model, verb) {
    await this.#json("POST", `../models/${encodeURIComponent(model)}/${verb}`, null);
  }

  /**
   * A probe's response: its status and its one line of text. No status is an error here.
   *
   * @param {"healthz" | "readyz"} probe
   * @param {string} [model]
   * @returns {Promise<{status: number, text: string}>}
   */
  async probe(probe, model = "") {
    const query = model ? `?${new URLSearchParams({ model })}` : "";
    const response = await this.#send(`../${probe}${query}`, {
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    return { status: response.status, text: (await response.text()).trim() };
  }

  /**
   * @param {Record<string, unknown>} body
   * @param {AbortSignal} signal
   * @returns {Promise<Response>} a response that has begun well
   * @throws {RequestError}
   */
  async infer(body, signal) {
    const response = await this.#send("../infer", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: accepted(body) },
      body: JSON.stringify(body),
      signal,
    });
    if (!response.ok) throw await refusal(response);
    return response;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {number | null} patienceMs `null` waits for ever
   * @returns {Promise<unknown>}
   */
  async #json(method, path, patienceMs = PATIENCE_MS) {
    const signal = patienceMs === null ? null : AbortSignal.timeout(patienceMs);
    const response = await this.#send(path, { method, signal });
    if (!response.ok) throw await refusal(response);
    return response.json();
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   * @returns {Promise<Response>}
   */
  async #send(path, init) {
    const headers = new Headers(init.headers);
    if (this.#key) headers.set("Authorization", `Bearer ${this.#key}`);
    try {
      return await this.#transport(path, { ...init, headers, cache: "no-store" });
    } catch (error) {
      if (init.signal?.aborted && /** @type {Error} */ (error).name === "AbortError") throw error;
      throw new RequestError({ error: "the server cannot be reached", reason: "unreachable" });
    }
  }
}

/**
 * @param {Response} response
 * @returns {Promise<RequestError>}
 */
async function refusal(response) {
  /** @type {Record<string, unknown>} */
  let body = { error: `the server answered ${response.status}`, code: response.status };
  try {
    body = { ...body, ...(await response.json()) };
  } catch {
    // Something between here and the server has answered in its place.
  }
  const retryAfterS = Number(response.headers.get("Retry-After") ?? "");
  return new RequestError({
    ...problemOf(body),
    retryAfterS: retryAfterS > 0 ? retryAfterS : null,
    requestId: response.headers.get("X-Request-ID"),
  });
}

/**
 * @param {unknown} listing an array, or an object with one as `models`
 * @returns {Api.Model[]}
 */
function modelsIn(listing) {
  if (Array.isArray(listing)) return listing;
  return /** @type {{models?: Api.Model[]}} */ (listing).models ?? [];
}

/** @param {Record<string, unknown>} body */
function accepted(body) {
  return body.stream === false ? "application/json" : "application/x-ndjson";
}
