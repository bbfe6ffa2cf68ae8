// SPDX-License-Identifier: GPL-3.0-only
import { Palette } from "./logic/palette.js";
import { Client } from "./server/client.js";
import { Access } from "./state/access.js";
import { Moves } from "./state/moves.js";
import { Playground } from "./state/playground.js";
import { Server } from "./state/server.js";

/** Everything that the pages share. */
export class App {
  /**
   * @param {"mock" | "live"} mode
   * @param {import("./server/client.js").Transport} transport
   */
  constructor(mode, transport) {
    this.mode = mode;
    this.client = new Client(transport);
    this.access = new Access(this.client);
    this.server = new Server(this.client, this.access);
    this.moves = new Moves(this.client, this.server);
    this.palette = new Palette();
    this.playground = new Playground(this.client, () => this.access.refused());
  }
}
