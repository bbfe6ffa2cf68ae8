// SPDX-License-Identifier: GPL-3.0-only
import { html, inputOf } from "../html.js";
import { isWide } from "../logic/request_fields.js";

/** @typedef {import("../logic/request_fields.js").Field} Field */

/**
 * One setting of a request, with its name, its control and a hint.
 *
 * @param {{field: Field, value: string, onChange: (value: string) => void}} props
 */
export function SettingField({ field, value, onChange }) {
  return html`
    <label class=${`field ${isWide(field) ? field.kind : ""}`}>
      <span class="field-name">${field.name}</span>
      <${Control} field=${field} value=${value} onChange=${onChange} />
      <span class="hint" id=${`hint-${field.name}`}>${field.hint}</span>
    </label>
  `;
}

/** @param {{field: Field, value: string, onChange: (value: string) => void}} props */
function Control({ field, value, onChange }) {
  const onInput = (/** @type {Event} */ event) => onChange(inputOf(event).value);
  const shared = { value, onInput, "aria-describedby": `hint-${field.name}` };
  const { kind, min, max, step, choices } = field;
  if (kind === "choice") {
    return html`
      <select ...${shared}>
        <option value="">default</option>
        ${choices.map(choice => html`<option value=${String(choice)}>${String(choice)}</option>`)}
      </select>
    `;
  }
  if (isWide(field)) return html`<textarea rows="2" spellcheck=${false} ...${shared}></textarea>`;
  if (kind === "text") return html`<input type="text" ...${shared} />`;
  return html`
    <input
      type="number"
      inputmode="decimal"
      placeholder="default"
      min=${min}
      max=${max}
      step=${step ?? "any"}
      ...${shared}
    />
  `;
}
