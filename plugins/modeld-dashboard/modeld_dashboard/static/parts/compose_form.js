// SPDX-License-Identifier: GPL-3.0-only
import { html, inputOf, useStore } from "../html.js";
import { grouped } from "../logic/request_fields.js";
import { SettingField } from "./field.js";

/** @typedef {import("../state/playground.js").Playground} Playground */

/**
 * What to send to `POST /infer`. Ctrl+Enter sends from everywhere in it.
 *
 * @param {{playground: Playground, models: readonly Api.Model[]}} props
 */
export function ComposeForm({ playground, models }) {
  const form = useStore(playground.form);
  const { phase } = useStore(playground.generation);
  const isRunning = phase === "requesting";
  /** @param {Event} event */
  const submit = event => {
    event.preventDefault();
    playground.send();
  };
  /** @param {KeyboardEvent} event */
  const onKey = event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
  };
  return html`
    <form class="panel compose" noValidate onSubmit=${submit} onKeyDown=${onKey}>
      <h2>Request</h2>
      <${KindChoice} playground=${playground} chat=${form.chat} />
      ${form.chat && html`<${ChatStart} playground=${playground} form=${form} />`}
      <label class="field">
        <span>${form.chat ? "User message" : "Prompt"}</span>
        <textarea
          rows="5"
          data-testid="prompt-input"
          value=${form.prompt}
          onInput=${(/** @type {Event} */ event) => playground.form.patch({ prompt: inputOf(event).value })}
        ></textarea>
      </label>
      <${ModelInput} playground=${playground} model=${form.model} models=${models} />
      <div class="actions">
        <button type="submit" class="primary" data-testid="submit-btn" aria-disabled=${isRunning}>
          Send
        </button>
        <button
          type="button"
          data-testid="stop-btn"
          disabled=${!isRunning}
          onClick=${() => playground.stop()}
        >
          Stop
        </button>
        <label class="check">
          <input
            type="checkbox"
            data-testid="stream-input"
            checked=${form.stream}
            onChange=${(/** @type {Event} */ event) => {
              playground.form.patch({ stream: inputOf(event).checked });
            }}
          />
          <span>Stream</span>
        </label>
        <span class="hint keys"><kbd>Ctrl</kbd>+<kbd>Enter</kbd> sends, <kbd>Esc</kbd> stops</span>
      </div>
      <${Settings} playground=${playground} settings=${form.settings} />
    </form>
  `;
}

/** @param {{playground: Playground, chat: boolean}} props */
function KindChoice({ playground, chat }) {
  const choice = (/** @type {boolean} */ value, /** @type {string} */ label) => html`
    <label class="choice">
      <input
        type="radio"
        name="kind"
        data-testid=${value ? "kind-chat" : "kind-prompt"}
        checked=${chat === value}
        onChange=${() => playground.form.patch({ chat: value })}
      />
      <span>${label}</span>
    </label>
  `;
  return html`
    <fieldset class="choices">
      <legend class="visually-hidden">Kind of request</legend>
      ${choice(false, "Prompt")}${choice(true, "Chat")}
    </fieldset>
  `;
}

/**
 * What comes before the user's message in a chat.
 *
 * @param {{playground: Playground, form: import("../logic/request_body.js").Form}} props
 */
function ChatStart({ playground, form }) {
  return html`
    <label class="field">
      <span>System message</span>
      <textarea
        rows="2"
        data-testid="system-input"
        value=${form.system}
        onInput=${(/** @type {Event} */ event) => playground.form.patch({ system: inputOf(event).value })}
      ></textarea>
    </label>
    ${
      form.turns.length > 0 &&
      html`
      <div class="turns" role="group" aria-label="What was said before" tabindex="0">
        ${form.turns.map(
          ({ role, content }, at) => html`
            <p key=${at} class="turn"><span class="turn-role">${role}</span>${content}</p>
          `,
        )}
      </div>
      <button type="button" class="start" onClick=${() => playground.forgetChat()}>
        Begin a new chat
      </button>
    `
    }
  `;
}

/** @param {{playground: Playground, model: string, models: readonly Api.Model[]}} props */
function ModelInput({ playground, model, models }) {
  return html`
    <label class="field">
      <span>Model</span>
      <input
        type="text"
        list="model-ids"
        autocomplete="off"
        spellcheck=${false}
        placeholder="the server's default model"
        data-testid="model-input"
        value=${model}
        onInput=${(/** @type {Event} */ event) => playground.form.patch({ model: inputOf(event).value })}
      />
      <datalist id="model-ids">
        ${models.filter(({ problem }) => !problem).map(({ id }) => html`<option value=${id} />`)}
      </datalist>
    </label>
  `;
}

// Where there is one column only, the generation should not be far below.
const isWide = matchMedia("(width >= 60rem)").matches;

/** @param {{playground: Playground, settings: Readonly<Record<string, string>>}} props */
function Settings({ playground, settings }) {
  const fields = useStore(playground.fields);
  const row = (/** @type {import("../logic/request_fields.js").Field} */ field) => html`
    <${SettingField}
      key=${field.name}
      field=${field}
      value=${settings[field.name] ?? ""}
      onChange=${(/** @type {string} */ value) => {
        playground.form.patch({
          settings: { ...playground.form.value.settings, [field.name]: value },
        });
      }}
    />
  `;
  const count = fields.filter(({ name }) => settings[name]).length;
  const [first, ...others] = grouped(fields);
  return html`
    <details class="settings" open=${isWide}>
      <summary>Sampling${count > 0 && html` <span class="muted">${count} set</span>`}</summary>
      <p class="hint">Only what is set here is sent; the rest is up to the model's backend.</p>
      ${first && html`<div class="fields">${first.fields.map(row)}</div>`}
      ${others.map(
        group => html`
          <details key=${group.heading}>
            <summary>${group.heading}</summary>
            <div class="fields">${group.fields.map(row)}</div>
          </details>
        `,
      )}
    </details>
  `;
}
