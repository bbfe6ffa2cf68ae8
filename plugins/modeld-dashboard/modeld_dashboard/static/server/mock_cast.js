// SPDX-License-Identifier: GPL-3.0-only
// The invented models, and when the invented users want them.

/**
 * @typedef {object} Invented
 * @property {string} id
 * @property {string} name
 * @property {string} quant
 * @property {string} family
 * @property {number} fileMb
 * @property {number} heldMb
 * @property {number} loadS
 * @property {number} perSecond tokens
 * @property {number} firstTokenS
 * @property {number} everyS a request ends
 * @property {string} [problem]
 */

/** @type {readonly Invented[]} */
export const INVENTED = [
  {
    id: "lakeside-3b-instruct.Q4_K_M.gguf",
    name: "Lakeside 3B Instruct",
    quant: "Q4_K_M",
    family: "llama",
    fileMb: 1930,
    heldMb: 2304,
    loadS: 2,
    perSecond: 46,
    firstTokenS: 0.31,
    everyS: 5,
  },
  {
    id: "marl-1b-code.Q4_0.gguf",
    name: "Marl 1B Code",
    quant: "Q4_0",
    family: "qwen3",
    fileMb: 690,
    heldMb: 976,
    loadS: 1,
    perSecond: 88,
    firstTokenS: 0.14,
    everyS: 7,
  },
  {
    id: "north-7b-chat.Q5_K_M.gguf",
    name: "North 7B Chat",
    quant: "Q5_K_M",
    family: "llama",
    fileMb: 4780,
    heldMb: 4896,
    loadS: 6,
    perSecond: 19,
    firstTokenS: 0.92,
    everyS: 11,
  },
  {
    id: "tern-0.5b-chat.Q8_0.gguf",
    name: "Tern 0.5B Chat",
    quant: "Q8_0",
    family: "gemma3",
    fileMb: 520,
    heldMb: 720,
    loadS: 1,
    perSecond: 131,
    firstTokenS: 0.08,
    everyS: 4,
  },
  {
    id: "unfinished-13b.Q4_K_M.gguf",
    name: "unfinished-13b.Q4_K_M",
    quant: "",
    family: "",
    fileMb: 212,
    heldMb: 0,
    loadS: 0,
    perSecond: 0,
    firstTokenS: 0,
    everyS: 0,
    problem: "the file ends after 212 MiB of 7411 MiB: it is not complete",
  },
];

/** What the invented users want, by the second of a cycle. */
export const SCRIPT = new Map([
  [1, "lakeside-3b-instruct.Q4_K_M.gguf"],
  [4, "north-7b-chat.Q5_K_M.gguf"],
  [24, "tern-0.5b-chat.Q8_0.gguf"],
  [120, "marl-1b-code.Q4_0.gguf"],
]);

/** One invented model and what it does at the moment. */
export class Actor {
  /** @type {Api.InstanceState} */
  state = "absent";
  readyAt = 0;
  loads = 0;
  tokens = 0;
  promptTokens = 0;
  lastUsed = 0;
  pinned = false;
  wasAsked = false;
  /** @type {string | undefined} */
  lastError;

  /** @param {Invented} about */
  constructor(about) {
    this.about = about;
  }

  get heldMb() {
    return this.state === "absent" ? 0 : this.about.heldMb;
  }
}
