// SPDX-License-Identifier: GPL-3.0-only

/** How many models have a colour of their own; `style.css` has the colours. */
export const COLOURS = 8;

/** The colour of models that have none of their own. */
export const NO_COLOUR = COLOURS;

/**
 * Gives models their colours, and each model the same one for as long as colours last. When all are
 * taken, a model in memory gets that of one that is no longer, and of these the one that was seen
 * last the longest ago.
 */
export class Palette {
  /** @type {Map<string, number>} in the order in which they were seen last */
  #colours = new Map();

  /**
   * The models that are shown together. Asking again for the same ones changes nothing.
   *
   * @param {Iterable<string>} held those in memory
   * @param {Iterable<string>} [past] those that are in a chart, but no longer in memory
   */
  see(held, past = []) {
    const first = new Set(held);
    const all = new Set([...first, ...past]);
    for (const model of all) {
      const colour = this.#colours.get(model) ?? this.#free(first.has(model) ? first : all);
      if (colour === NO_COLOUR) continue;
      this.#colours.delete(model);
      this.#colours.set(model, colour);
    }
  }

  /**
   * @param {string} model
   * @returns {number} from 0, or `NO_COLOUR`
   */
  colourOf(model) {
    return this.#colours.get(model) ?? NO_COLOUR;
  }

  /** @param {ReadonlySet<string>} kept whose colours may not be taken */
  #free(kept) {
    const taken = new Set(this.#colours.values());
    for (let colour = 0; colour < COLOURS; colour += 1) {
      if (!taken.has(colour)) return colour;
    }
    for (const [model, colour] of this.#colours) {
      if (kept.has(model)) continue;
      this.#colours.delete(model);
      return colour;
    }
    return NO_COLOUR;
  }
}
