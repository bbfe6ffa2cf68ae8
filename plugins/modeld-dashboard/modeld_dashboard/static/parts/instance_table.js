// SPDX-License-Identifier: GPL-3.0-only
import { html, useId, useState } from "../html.js";
import { ago, mib, NONE, rate, seconds, whole } from "../logic/format.js";
import { instanceName } from "../logic/instance_name.js";
import { speedOf } from "../logic/speed.js";
import { InstanceDetails } from "./instance_details.js";
import { ModelActions, MoveProblem } from "./model_actions.js";
import { ModelName } from "./model_name.js";

const MOST_DOTS = 8;

/** @type {Readonly<Record<Api.InstanceState, string>>} */
const TONES = {
  absent: "quiet",
  loading: "warn",
  ready: "good",
  draining: "warn",
  failed: "bad",
};

const HEADINGS = [
  "Model",
  "State",
  "Memory",
  "Slots in use",
  "Queue",
  "Speed",
  "First token",
  "Last used",
];

/**
 * The models that were asked for, each with what it does now.
 *
 * @param {{
 *   app: import("../app.js").App,
 *   instances: readonly Api.Instance[],
 *   samples: import("../logic/speed.js").Samples,
 *   firstTokens: ReadonlyMap<string, number>,
 * }} props
 */
export function InstanceTable({ app, instances, samples, firstTokens }) {
  return html`
    <table class="rows instances" role="table" aria-labelledby="instances-title">
      <thead role="rowgroup">
        <tr role="row">
          ${HEADINGS.map(text => html`<th key=${text} scope="col" role="columnheader">${text}</th>`)}
          <th scope="col" role="columnheader"><span class="visually-hidden">Actions</span></th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${instances.map(
          instance => html`
            <${InstanceRow}
              key=${instanceName(instance)}
              app=${app}
              instance=${instance}
              speed=${speedOf(samples, instanceName(instance))}
              firstToken=${firstTokens.get(instance.model_id)}
            />
          `,
        )}
      </tbody>
    </table>
  `;
}

/**
 * @param {{
 *   app: import("../app.js").App,
 *   instance: Api.Instance,
 *   speed: number | null,
 *   firstToken: number | undefined,
 * }} props
 */
function InstanceRow({ app, instance, speed, firstToken }) {
  const [isOpen, setOpen] = useState(false);
  const { model_id: model, state, pinned } = instance;
  const detailsId = useId();
  return html`
    <tr role="row" data-testid="instance-row" data-model=${model} data-state=${state}>
      <th scope="row" role="rowheader" class="cell-model">
        <${ModelName} model=${model} colour=${app.palette.colourOf(instanceName(instance))} />
        ${instance.host && html`<span class="muted">on ${instance.host}</span>`}
      </th>
      <${Cell} name="State"><span class="state" data-tone=${TONES[state]}>${state}</span><//>
      <${Cell} name="Memory" number>
        ${instance.held_mb > 0 ? mib(instance.held_mb) : NONE}
      <//>
      <${Cell} name="Slots in use"><${Slots} instance=${instance} /><//>
      <${Cell} name="Queue" number>
        ${whole(instance.queue_len)} of ${whole(instance.max_queue_depth)}
      <//>
      <${Cell} name="Speed" number>
        ${state === "ready" ? `${rate(speed)} tokens/s` : NONE}
      <//>
      <${Cell} name="First token" number>${seconds(firstToken)}<//>
      <${Cell} name="Last used" number>${ago(instance.last_used_unix, app.server.nowUnix)}<//>
      <td role="cell" class="cell-actions">
        <div class="row-actions">
          <${ModelActions} moves=${app.moves} model=${model} state=${state} pinned=${pinned} />
          <button
            type="button"
            class="quiet"
            data-testid="details-btn"
            data-model=${model}
            aria-expanded=${isOpen}
            aria-controls=${detailsId}
            aria-label=${`Details of ${model}`}
            onClick=${() => setOpen(!isOpen)}
          >Details</button>
        </div>
      </td>
    </tr>
    <${MoveProblem} moves=${app.moves} model=${model} columns=${HEADINGS.length + 1} />
    <tr role="row" class="details-row" id=${detailsId} hidden=${!isOpen}>
      <td role="cell" colspan=${HEADINGS.length + 1}>
        ${isOpen && html`<${InstanceDetails} instance=${instance} />`}
      </td>
    </tr>
  `;
}

/** @param {{name: string, number?: boolean, children?: any}} props */
function Cell({ name, number = false, children }) {
  return html`
    <td role="cell" data-label=${name} class=${number ? "number" : null}>
      <span class="cell-value">${children}</span>
    </td>
  `;
}

/** @param {{instance: Api.Instance}} props */
function Slots({ instance: { inflight, slots } }) {
  const text = `${whole(inflight)} of ${whole(slots)}`;
  if (slots > MOST_DOTS) return html`<span class="slots">${text}</span>`;
  return html`
    <span class="slots">
      <span class="dots" aria-hidden="true">
        ${Array.from({ length: slots }, (_, at) => html`<i class="dot" data-used=${at < inflight}></i>`)}
      </span>
      ${text}
    </span>
  `;
}
