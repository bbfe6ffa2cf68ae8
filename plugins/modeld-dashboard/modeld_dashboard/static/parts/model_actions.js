// SPDX-License-Identifier: GPL-3.0-only
import { Fragment, html, useStore } from "../html.js";

/** @type {Readonly<Record<string, string>>} */
const DOING = { load: "Loading", unload: "Unloading", pin: "Pin", unpin: "Unpin" };

/**
 * Load or unload, and pin or unpin. The buttons stay in place while their words change.
 *
 * @param {{
 *   moves: import("../state/moves.js").Moves,
 *   model: string,
 *   state: Api.InstanceState,
 *   pinned: boolean,
 * }} props
 */
export function ModelActions({ moves, model, state, pinned }) {
  const doing = useStore(moves.running).get(model);
  const verb = state === "absent" || state === "failed" ? "load" : "unload";
  const isMoving = doing === "load" || doing === "unload";
  const isBusy = doing !== undefined || state === "draining";
  const word = isMoving ? DOING[doing] : verb === "load" ? "Load" : "Unload";
  /** @param {import("../state/moves.js").Verb} verb */
  const move = verb => () => {
    if (!isBusy) moves.move(model, verb);
  };
  return html`
    <${Fragment}>
      <button
        type="button"
        class="move"
        data-testid=${`${verb}-btn`}
        data-model=${model}
        aria-disabled=${isBusy}
        aria-label=${`${word} ${model}`}
        onClick=${move(verb)}
      >${word}</button>
      <button
        type="button"
        class="pin"
        data-testid="pin-btn"
        data-model=${model}
        aria-pressed=${pinned}
        aria-disabled=${isBusy}
        aria-label=${`Pin ${model}: it stays in memory when others need room`}
        onClick=${move(pinned ? "unpin" : "pin")}
      >${pinned ? "Pinned" : "Pin"}</button>
    <//>
  `;
}

/**
 * Why the last thing that was done to a model from here has failed, as a row below the model's.
 *
 * @param {{moves: import("../state/moves.js").Moves, model: string, columns: number}} props
 */
export function MoveProblem({ moves, model, columns }) {
  const problem = useStore(moves.problems).get(model);
  if (!problem) return null;
  return html`
    <tr role="row" class="details-row">
      <td role="cell" colspan=${columns}>
        <p class="notice row-notice" data-tone="bad" role="alert" data-model=${model}>
          <span>${problem}</span>
          <button type="button" class="quiet" onClick=${() => moves.dismiss(model)}>Dismiss</button>
        </p>
      </td>
    </tr>
  `;
}
