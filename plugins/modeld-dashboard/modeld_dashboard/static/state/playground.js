// SPDX-License-Identifier: GPL-3.0-only
import * as generation from "../logic/generation.js";
import { readLines } from "../logic/ndjson.js";
import { FieldError, requestBody } from "../logic/sampling.js";
import { RequestError } from "../server/client.js";
import { Store } from "./store.js";

/** @typedef {import("../logic/sampling.js").Form} Form */

/** The playground's form and its one request; both live on while other pages are shown. */
export class Playground {
  /** @type {Store<Form>} */
  form = new Store(
    /** @type {Form} */ ({
      prompt: "",
      chat: false,
      system: "",
      turns: [],
      model: "",
      stream: true,
      settings: {},
    }),
  );
  generation = new Store(generation.IDLE);

  /** @type {import("../server/client.js").Client} */
  #client;
  /** @type {() => void} */
  #onUnauthorized;
  #abort = new AbortController();

  /**
   * @param {import("../server/client.js").Client} client
   * @param {() => void} onUnauthorized
   */
  constructor(client, onUnauthorized) {
    this.#client = client;
    this.#onUnauthorized = onUnauthorized;
  }

  get isRunning() {
    return this.generation.value.phase === "requesting";
  }

  /** Send the form; what goes wrong is in the generation. */
  async send() {
    if (this.isRunning) return;
    const form = this.form.value;
    this.#abort = new AbortController();
    this.generation.value = generation.begun(performance.now());
    try {
      await this.#run(requestBody(form), form.stream);
    } catch (error) {
      this.#fail(error);
    }
    if (form.chat && this.generation.value.phase === "success") this.#remember(form);
  }

  /** Give the request up; the server then stops its work too. */
  stop() {
    if (!this.isRunning) return;
    this.generation.value = generation.stopped(this.generation.value, performance.now());
    this.#abort.abort();
  }

  forgetChat() {
    this.form.patch({ turns: [] });
  }

  /**
   * @param {Record<string, unknown>} body
   * @param {boolean} streamed
   */
  async #run(body, streamed) {
    const signal = this.#abort.signal;
    const response = await this.#client.infer(body, signal);
    this.generation.patch({ requestId: response.headers.get("X-Request-ID") });
    if (streamed && response.body) {
      for await (const line of readLines(response.body)) {
        if (signal.aborted) return;
        this.generation.value = generation.withLine(this.generation.value, line, performance.now());
        if (!this.isRunning) return;
      }
    } else {
      const text = await response.text();
      this.generation.value = generation.withLine(this.generation.value, text, performance.now());
    }
    this.generation.value = generation.atEnd(this.generation.value, performance.now());
  }

  /** @param {unknown} error */
  #fail(error) {
    if (this.#abort.signal.aborted) return;
    this.generation.value = generation.failed(
      this.generation.value,
      problemFrom(error),
      performance.now(),
    );
    if (error instanceof RequestError && error.reason === "unauthorized") this.#onUnauthorized();
  }

  /** @param {Form} form */
  #remember(form) {
    const answer = this.generation.value.answer;
    this.form.patch({
      prompt: this.form.value.prompt === form.prompt ? "" : this.form.value.prompt,
      turns: [
        ...form.turns,
        { role: "user", content: form.prompt },
        { role: "assistant", content: answer },
      ],
    });
  }
}

/**
 * @param {unknown} error
 * @returns {generation.Problem}
 */
function problemFrom(error) {
  if (error instanceof RequestError) return error.problem;
  if (error instanceof FieldError) {
    return { error: error.message, reason: "invalid_field", field: error.field };
  }
  const cut = "the connection was cut before the answer was complete";
  return { error: cut, reason: "connection_cut" };
}
