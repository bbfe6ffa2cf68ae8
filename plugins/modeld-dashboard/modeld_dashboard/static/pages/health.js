// SPDX-License-Identifier: GPL-3.0-only
import { html, useEffect } from "../html.js";
import { ProbeResult, useProbe } from "../parts/probe.js";

/**
 * Whether the process lives.
 *
 * @param {{app: import("../app.js").App}} props
 */
export function HealthPage({ app }) {
  const [outcome, check] = useProbe(() => app.client.probe("healthz"));
  useEffect(check, []);
  return html`
    <section class="panel narrow" aria-labelledby="health-title">
      <h2 id="health-title">Health</h2>
      <p class="hint">Whether the process lives and its event loop turns. It needs no key.</p>
      <${ProbeResult} path="/healthz" outcome=${outcome} testid="health-result" />
      <div class="actions">
        <button type="button" class="primary" data-testid="health-check" onClick=${check}>
          Check again
        </button>
      </div>
    </section>
  `;
}
