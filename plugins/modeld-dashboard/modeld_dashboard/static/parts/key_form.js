// SPDX-License-Identifier: GPL-3.0-only
import { html, inputOf, useState, useStore } from "../html.js";

const TEXTS = {
  missing: "This server needs an API key.",
  wrong: "This API key is not known to the server. Enter another one.",
};

/**
 * Asks for the API key after the server has answered 401, and lets it be cleared.
 *
 * @param {{access: import("../state/access.js").Access}} props
 */
export function KeyForm({ access }) {
  const { hasKey, problem } = useStore(access.store);
  const [key, setKey] = useState("");
  if (!problem && !hasKey) return null;
  if (!problem) {
    return html`
      <p class="key-line muted">
        Using an API key, kept until this tab is closed.
        <${Clear} access=${access} />
      </p>
    `;
  }
  /** @param {Event} event */
  const save = event => {
    event.preventDefault();
    if (key.trim() === "") return;
    access.save(key.trim());
    setKey("");
  };
  return html`
    <form class="panel key-form" onSubmit=${save}>
      <p role="alert"><strong>${TEXTS[problem]}</strong></p>
      <label class="field grow">
        <span>API key</span>
        <input
          type="password"
          autocomplete="off"
          spellcheck=${false}
          data-testid="api-key-input"
          value=${key}
          onInput=${(/** @type {Event} */ event) => setKey(inputOf(event).value)}
        />
      </label>
      <button type="submit" class="primary" data-testid="api-key-save">Use this key</button>
      ${hasKey && html`<${Clear} access=${access} />`}
      <p class="hint">
        It is kept in this tab only, until the tab is closed, and sent to this server only.
      </p>
    </form>
  `;
}

/** @param {{access: import("../state/access.js").Access}} props */
function Clear({ access }) {
  return html`
    <button type="button" data-testid="api-key-clear" onClick=${() => access.clear()}>
      Forget the key
    </button>
  `;
}
