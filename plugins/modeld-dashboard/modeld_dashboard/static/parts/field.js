// SPDX-License-Identifier: GPL-3.0-only
import { html, inputOf } from "../html.js";

/**
 * One setting of a request, with its name, its control and a hint.
 *
 * @param {{
 *   field: import("../logic/sampling.js").Field,
 *   value: string | boolean | undefined,
 *   onChange: (value: string | boolean) => void,
 * }} props
 */
export function SettingField({ field, value, onChange }) {
  const hintId = `hint-${field.name}`;
  const name = field.kind === "off" ? `${field.name}: false` : field.name;
  const label = html`<span class="field-name">${name}</span>`;
  const hint = html`<span class="hint" id=${hintId}>${field.hint}</span>`;
  if (field.kind === "flag" || field.kind === "off") {
    return html`
      <label class="check setting">
        <input
          type="checkbox"
          checked=${value === true}
          onChange=${(/** @type {Event} */ event) => onChange(inputOf(event).checked)}
        />
        ${label}${hint}
      </label>
    `;
  }
  return html`
    <label class=${`field ${isLong(field) ? field.kind : ""}`}>
      ${label}<${Control} field=${field} value=${value ?? ""} onChange=${onChange} />${hint}
    </label>
  `;
}

/**
 * @param {{
 *   field: import("../logic/sampling.js").Field,
 *   value: string | boolean,
 *   onChange: (value: string) => void,
 * }} props
 */
function Control({ field, value, onChange }) {
  const onInput = (/** @type {Event} */ event) => onChange(inputOf(event).value);
  const shared = { value, onInput, "aria-describedby": `hint-${field.name}` };
  if (isLong(field)) return html`<textarea rows="2" spellcheck=${false} ...${shared}></textarea>`;
  const { kind, min, max, step } = field;
  if (kind === "text") return html`<input type="text" ...${shared} />`;
  return html`
    <input
      type="number"
      inputmode="decimal"
      placeholder="default"
      min=${min}
      max=${max}
      step=${kind === "whole" ? 1 : (step ?? "any")}
      ...${shared}
    />
  `;
}

/** @param {import("../logic/sampling.js").Field} field */
function isLong({ kind, name }) {
  return kind === "lines" || kind === "json" || name === "grammar";
}
