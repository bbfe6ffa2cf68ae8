// SPDX-License-Identifier: GPL-3.0-only
import * as generation from "../logic/generation.js";
import { readLines } from "../logic/ndjson.js";
import { FieldError, requestBody } from "../logic/request_body.js";
import { fieldsFrom } from "../logic/request_fields.js";
import { RequestError } from "../server/client.js";
import { Store } from "./store.js";

/** @typedef {import("../logic/request_body.js").Form} Form */

const DRAWN_EVERY_MS = 50;

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
  /**
   * What can be set besides, as the server last said.
   *
   * @type {Store<readonly import("../logic/request_fields.js").Field[]>}
   */
  fields = new Store(/** @type {readonly import("../logic/request_fields.js").Field[]} */ ([]));
  /** What is shown of the one request; tokens are put into it some times a second. */
  generation = new Store(generation.IDLE);
  #latest = generation.IDLE;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

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
    return this.#latest.phase === "requesting";
  }

  /** Ask the server what can be set; what was known before stays where it does not say. */
  async learnFields() {
    try {
      this.fields.value = fieldsFrom(await this.#client.openapi());
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
    }
  }

  /** Send the form; what goes wrong is in the generation. */
  async send() {
    if (this.isRunning) return;
    const form = this.form.value;
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.#show(generation.begun(performance.now(), form.model.trim()));
    try {
      await this.#run(requestBody(form, this.fields.value), form.stream, signal);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
    if (signal.aborted) return;
    if (form.chat && this.#latest.phase === "success") this.#remember(form);
  }

  /** Give the request up; the server then stops its work too. */
  stop() {
    if (!this.isRunning) return;
    this.#show(generation.stopped(this.#latest, performance.now()));
    this.#abort.abort();
  }

  forgetChat() {
    this.form.patch({ turns: [] });
  }

  /**
   * @param {Record<string, unknown>} body
   * @param {boolean} streamed
   * @param {AbortSignal} signal
   */
  async #run(body, streamed, signal) {
    const response = await this.#client.infer(body, signal);
    this.#show({ ...this.#latest, requestId: response.headers.get("X-Request-ID") });
    if (streamed && response.body) {
      for await (const line of readLines(response.body)) {
        if (signal.aborted) return;
        this.#show(generation.withLine(this.#latest, line, performance.now()));
        if (!this.isRunning) return;
      }
    } else {
      const text = await response.text();
      this.#show(generation.withLine(this.#latest, text, performance.now()));
    }
    this.#show(generation.atEnd(this.#latest, performance.now()));
  }

  /**
   * Drawing costs more the longer a generation is, so not every token is drawn on its own; a new phase
   * is shown at once.
   *
   * @param {generation.Generation} latest
   */
  #show(latest) {
    this.#latest = latest;
    if (latest.phase !== this.generation.value.phase) this.#draw();
    else this.#timer ??= setTimeout(() => this.#draw(), DRAWN_EVERY_MS);
  }

  #draw() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.generation.value = this.#latest;
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#show(generation.failed(this.#latest, problemFrom(error), performance.now()));
    if (error instanceof RequestError && error.reason === "unauthorized") this.#onUnauthorized();
  }

  /** @param {Form} form as it was sent */
  #remember(form) {
    // Another chat has been begun meanwhile: this generation is not a part of it.
    if (this.form.value.turns !== form.turns) return;
    const { text } = this.#latest;
    this.form.patch({
      prompt: this.form.value.prompt === form.prompt ? "" : this.form.value.prompt,
      turns: [
        ...form.turns,
        { role: "user", content: form.prompt },
        { role: "assistant", content: text },
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
  const cut = "the connection was cut before the response was complete";
  return { error: cut, reason: "connection_cut" };
}
