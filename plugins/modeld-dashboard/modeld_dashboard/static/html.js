// SPDX-License-Identifier: GPL-3.0-only
import htm from "./vendor/htm.js";
import { Fragment, h, render } from "./vendor/preact.js";
import {
  useCallback,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "./vendor/preact-hooks.js";

/** Preact elements from tagged templates. Text in them is always text, never markup. */
export const html = htm.bind(h);

/**
 * The value of a store; the component is drawn anew when it changes.
 *
 * @template T
 * @param {import("./state/store.js").Store<T>} store
 * @returns {T}
 */
export function useStore(store) {
  const [value, setValue] = useState(store.value);
  useLayoutEffect(() => {
    setValue(() => store.value);
    return store.watch(() => setValue(() => store.value));
  }, [store]);
  return value;
}

/**
 * The control that an event came from.
 *
 * @param {Event} event
 * @returns {HTMLInputElement}
 */
export function inputOf(event) {
  return /** @type {HTMLInputElement} */ (event.target);
}

export {
  Fragment,
  render,
  useCallback,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
};
