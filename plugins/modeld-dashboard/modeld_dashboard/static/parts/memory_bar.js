// SPDX-License-Identifier: GPL-3.0-only
import { html } from "../html.js";
import { mib } from "../logic/format.js";
import { Swatch } from "./model_name.js";

/**
 * Memory now: what each model holds, the margin, and what is free.
 *
 * @param {{
 *   use: import("../logic/memory_use.js").MemoryUse,
 *   palette: import("../logic/palette.js").Palette,
 * }} props
 */
export function MemoryBar({ use, palette }) {
  const width = (/** @type {number} */ sizeMib) => ({
    width: `${(100 * sizeMib) / use.wholeMib}%`,
  });
  const models = [...use.models].sort(byColour(palette));
  return html`
    <div class="memory-bar" role="img" aria-label=${sentence(use)} data-testid="memory-bar">
      ${models.map(
        ({ model, mib: sizeMib }) => html`
          <span
            key=${model}
            class="memory-part"
            data-colour=${palette.colourOf(model)}
            title=${`${model}: ${mib(sizeMib)}`}
            style=${width(sizeMib)}
          ></span>
        `,
      )}
      ${
        use.reservedMib > 0 &&
        html`<span class="memory-part reserved" style=${width(use.reservedMib)}></span>`
      }
      <span class="grow"></span>
      ${
        use.budgetMib !== null &&
        use.marginMib > 0 &&
        html`
          <span
            class="memory-part margin"
            title=${`margin: ${mib(use.marginMib)}`}
            style=${width(use.marginMib)}
          ></span>
        `
      }
    </div>
    <ul class="legend">
      ${models.map(
        ({ model, mib: sizeMib }) => html`
          <li key=${model}>
            <${Swatch} colour=${palette.colourOf(model)} />
            <span class="model-id" title=${model}>${model}</span> <b>${mib(sizeMib)}</b>
          </li>
        `,
      )}
      ${use.reservedMib > 0 && html`<li>reserved <b>${mib(use.reservedMib)}</b></li>`}
      ${use.freeMib !== null && html`<li><i class="swatch free"></i>free <b>${mib(use.freeMib)}</b></li>`}
      ${
        use.budgetMib !== null &&
        use.marginMib > 0 &&
        html`<li><i class="swatch margin"></i>margin, kept free <b>${mib(use.marginMib)}</b></li>`
      }
    </ul>
  `;
}

/**
 * The bar in words.
 *
 * @param {import("../logic/memory_use.js").MemoryUse} use
 */
export function sentence({ usedMib, budgetMib, freeMib, marginMib }) {
  if (budgetMib === null) return `${mib(usedMib)} held; the budget is unlimited`;
  return `${mib(usedMib)} of ${mib(budgetMib)} held, ${mib(freeMib ?? 0)} free, margin ${mib(marginMib)}`;
}

/** @param {import("../logic/palette.js").Palette} palette */
function byColour(palette) {
  return (/** @type {{model: string}} */ one, /** @type {{model: string}} */ other) =>
    palette.colourOf(one.model) - palette.colourOf(other.model);
}
