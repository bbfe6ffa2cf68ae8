// SPDX-License-Identifier: GPL-3.0-only
import { html } from "../html.js";
import { NONE, whole } from "../logic/format.js";

/**
 * What is rarely needed of a model: its process, its priority, its totals, what it goes without to fit, its last
 * error, its log.
 *
 * @param {{instance: Api.Instance}} props
 */
export function InstanceDetails({ instance }) {
  const { last_error, log_tail, fit } = instance;
  return html`
    <div class="instance-details" data-testid="instance-details" data-model=${instance.model_id}>
      <dl class="facts">
        ${instance.host && html`<div><dt>Host</dt><dd>${instance.host} on ${instance.node}</dd></div>`}
        <div><dt>Process</dt><dd>${instance.pid ?? NONE}</dd></div>
        <div><dt>Priority</dt><dd>${instance.priority}</dd></div>
        <div><dt>Loads</dt><dd>${whole(instance.loads_total)}</dd></div>
        <div><dt>Prompt tokens</dt><dd>${whole(instance.prompt_tokens_total)}</dd></div>
        <div><dt>Generated tokens</dt><dd>${whole(instance.completion_tokens_total)}</dd></div>
      </dl>
      ${
        fit &&
        html`
          <p class="notice" data-testid="instance-fit">
            <strong>To fit, it has</strong> ${fit.gives_up}. As configured it needs ${whole(fit.full_mb)} MiB.
          </p>
        `
      }
      ${
        last_error &&
        html`<p class="notice" data-tone="bad"><strong>Last error:</strong> ${last_error}</p>`
      }
      ${
        log_tail.length > 0
          ? html`
            <pre class="log" tabindex="0" role="group" aria-label=${`Log of ${instance.model_id}`}>
              ${log_tail.join("\n")}
            </pre>
          `
          : html`<p class="hint">Its runtime has logged nothing.</p>`
      }
    </div>
  `;
}
