// SPDX-License-Identifier: GPL-3.0-only

import { html, useStore } from "../html.js";
import { counted } from "../logic/format.js";
import { PAGES } from "../logic/routes.js";
import { theme, toggleTheme } from "../state/theme.js";

/**
 * The top of every page: where one is, which server this is and how it is.
 *
 * @param {{app: import("../app.js").App, page: string}} props
 */
export function Header({ app, page }) {
  const { models } = useStore(app.server.store);
  return html`
    <header class="top">
      <a class="skip" href="#content" onClick=${skip}>Skip to content</a>
      <div class="top-line">
        <a class="brand" href="#/">modeld</a>
        <span class="badge" data-testid="mode">${app.mode}</span>
        <span class="muted nowrap" data-testid="models-count">
          ${models === null ? "" : counted(models.length, "model")}
        </span>
        <span class="grow"></span>
        <${ServerState} app=${app} />
        <${ThemeToggle} />
      </div>
      <nav aria-label="Pages">
        <ul class="tabs">
          ${PAGES.map(
            ({ name, title, hash }) => html`
              <li key=${name}>
                <a
                  href=${hash}
                  data-testid=${`nav-${name}`}
                  aria-current=${name === page ? "page" : null}
                >${title}</a>
              </li>
            `,
          )}
        </ul>
      </nav>
    </header>
  `;
}

/** @param {{app: import("../app.js").App}} props */
function ServerState({ app }) {
  const { status, problem, failures } = useStore(app.server.store);
  if (failures > 0 && problem) {
    const text = problem.reason.replaceAll("_", " ");
    return html`<span class="state" data-tone="bad">server: ${text}</span>`;
  }
  if (!status) return html`<span class="state" data-tone="quiet">server: connecting</span>`;
  const tone = status.state === "running" ? "good" : "warn";
  return html`<span class="state" data-tone=${tone}>server: ${status.state}</span>`;
}

function ThemeToggle() {
  const shown = useStore(theme);
  const other = shown === "dark" ? "light" : "dark";
  return html`
    <button type="button" class="quiet theme" data-testid="theme-toggle" onClick=${toggleTheme}>
      ${other === "dark" ? "Dark theme" : "Light theme"}
    </button>
  `;
}

/**
 * The hash names the page, so the link to the content cannot be a plain one.
 *
 * @param {Event} event
 */
function skip(event) {
  event.preventDefault();
  document.getElementById("content")?.focus();
}
