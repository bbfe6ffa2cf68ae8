// SPDX-License-Identifier: GPL-3.0-only
import { html } from "../html.js";
import { NO_COLOUR } from "../logic/palette.js";

/**
 * The colour of a model in all charts.
 *
 * @param {{colour: number}} props
 */
export function Swatch({ colour }) {
  return html`<i class="swatch" data-colour=${colour === NO_COLOUR ? "other" : colour}></i>`;
}

/**
 * A model with its colour; a long name is cut where there is no room.
 *
 * @param {{model: string, colour: number}} props
 */
export function ModelName({ model, colour }) {
  return html`
    <span class="model-name" title=${model}>
      <${Swatch} colour=${colour} /><span class="model-id">${model}</span>
    </span>
  `;
}
