// SPDX-License-Identifier: GPL-3.0-only
import { html, useEffect, useState } from "../html.js";
import { clock } from "../logic/format.js";

/**
 * The response of `GET /status`, as it is.
 *
 * @param {{app: import("../app.js").App}} props
 */
export function StatusPage({ app }) {
  const [text, setText] = useState("");
  const [note, setNote] = useState("");
  const refresh = () => {
    app.client.status().then(
      status => {
        setText(JSON.stringify(status, null, 2));
        setNote(`as of ${clock(Date.now() / 1000)}`);
      },
      error => {
        setNote(error.message);
        if (error.reason === "unauthorized") app.access.refused();
      },
    );
  };
  useEffect(() => {
    refresh();
    // Once a key was given, what was refused before is asked for again.
    return app.access.store.watch(() => {
      if (app.access.store.value.problem === null) refresh();
    });
  }, []);
  return html`
    <section class="panel" aria-labelledby="status-title">
      <div class="panel-title">
        <h2 id="status-title">Status</h2>
        <span class="muted" role="status">${note}</span>
      </div>
      <p class="hint">What <code>GET /status</code> answers. Sizes are in MiB.</p>
      <div class="actions">
        <button type="button" class="primary" data-testid="status-refresh" onClick=${refresh}>
          Refresh
        </button>
      </div>
      <pre tabindex="0" role="group" aria-labelledby="status-title" data-testid="status-json">
        ${text}
      </pre>
    </section>
  `;
}
