// SPDX-License-Identifier: GPL-3.0-only
import { html, inputOf, useEffect, useState, useStore } from "../html.js";
import { ProbeResult, useProbe } from "../parts/probe.js";

/**
 * Whether requests can be served now, by any model or by a certain one.
 *
 * @param {{app: import("../app.js").App}} props
 */
export function ReadyPage({ app }) {
  const { models } = useStore(app.server.store);
  const [model, setModel] = useState("");
  const [outcome, check] = useProbe(() => app.client.probe("readyz", model.trim()));
  useEffect(check, []);
  /** @param {Event} event */
  const submit = event => {
    event.preventDefault();
    check();
  };
  return html`
    <form class="panel narrow" aria-labelledby="ready-title" onSubmit=${submit}>
      <h2 id="ready-title">Ready</h2>
      <p class="hint">
        Whether requests can be served now. It needs no key and never loads a model.
      </p>
      <${ProbeResult} path="/readyz" outcome=${outcome} testid="ready-result" />
      <label class="field">
        <span>Model</span>
        <input
          type="text"
          list="ready-models"
          autocomplete="off"
          spellcheck=${false}
          placeholder="any model"
          data-testid="ready-model"
          value=${model}
          onInput=${(/** @type {Event} */ event) => setModel(inputOf(event).value)}
        />
        <datalist id="ready-models">
          ${(models ?? []).map(({ id }) => html`<option value=${id} />`)}
        </datalist>
      </label>
      <div class="actions">
        <button type="submit" class="primary" data-testid="ready-check">Check again</button>
      </div>
    </form>
  `;
}
