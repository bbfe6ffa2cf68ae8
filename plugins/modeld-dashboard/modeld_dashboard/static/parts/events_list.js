// SPDX-License-Identifier: GPL-3.0-only
import { html } from "../html.js";
import { eventLines } from "../logic/event_text.js";
import { clock } from "../logic/format.js";
import { ModelName } from "./model_name.js";

const MOST = 100;

/**
 * What has happened, newest first: loads, evictions and why, refusals, crashes.
 *
 * @param {{
 *   events: readonly Api.Event[],
 *   palette: import("../logic/palette.js").Palette,
 * }} props
 */
export function EventsList({ events, palette }) {
  const lines = eventLines(events, MOST);
  return html`
    <section class="panel events" aria-labelledby="events-title">
      <h2 id="events-title">Events</h2>
      ${
        lines.length === 0
          ? html`<p class="empty">Nothing yet. Loads, evictions, refusals and crashes come here.</p>`
          : html`
            <ol
              class="event-list"
              tabindex="0"
              aria-labelledby="events-title"
              data-testid="events-list"
            >
              ${lines.map(line => html`<${EventItem} key=${line.sequence} line=${line} palette=${palette} />`)}
            </ol>
          `
      }
    </section>
  `;
}

/**
 * @param {{
 *   line: import("../logic/event_text.js").EventLine,
 *   palette: import("../logic/palette.js").Palette,
 * }} props
 */
function EventItem({ line, palette }) {
  return html`
    <li class="event">
      <time class="event-time">${clock(line.timeUnix)}</time>
      <span class="event-text">
        <span class="event-head">
          <span class="state" data-tone=${line.tone}>${line.title}</span>
          ${line.count > 1 && html`<span class="muted">${line.count} times</span>`}
          ${line.model && html`<${ModelName} model=${line.model} colour=${palette.colourOf(line.model)} />`}
        </span>
        <span class="event-detail">${line.detail}</span>
      </span>
    </li>
  `;
}
