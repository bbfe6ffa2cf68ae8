// SPDX-License-Identifier: GPL-3.0-only
import { html } from "../html.js";

/** @type {Readonly<Record<string, string>>} */
const STATES = {
  starting: "The server is starting.",
  draining: "The server is shutting down: running requests may finish, new ones are refused.",
  closed: "The server is closed.",
};

/**
 * What is wrong with the server or with the way to it.
 *
 * @param {{state: import("../state/server.js").ServerState}} props
 */
export function ServerNotices({ state: { status, problem, failures } }) {
  return html`
    ${
      failures > 0 &&
      problem &&
      problem.reason !== "unauthorized" &&
      html`
        <p class="notice" data-tone="bad" role="alert" data-testid="server-problem">
          ${
            problem.reason === "unreachable"
              ? "Server unreachable. It is asked again from time to time; what is shown is old."
              : `The server cannot say how it is: ${problem.error}`
          }
        </p>
      `
    }
    ${
      status?.state &&
      STATES[status.state] &&
      html`<p class="notice" data-tone="warn" role="status">${STATES[status.state]}</p>`
    }
    ${status?.error && html`<p class="notice" data-tone="bad" role="alert">${status.error}</p>`}
  `;
}
