// SPDX-License-Identifier: GPL-3.0-only

/**
 * The lines of a stream of bytes, each as soon as it is complete. Characters and lines may be cut
 * anywhere between two chunks. Empty lines are left out; a last line needs no line end.
 *
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<string, void, void>}
 */
export async function* readLines(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const lines = rest.split("\n");
      rest = done ? "" : (lines.pop() ?? "");
      yield* lines.map(line => line.replace(/\r$/, "")).filter(line => line !== "");
      if (done) return;
    }
  } finally {
    // Whoever stops reading early gives the connection up, and the server stops its work.
    reader.cancel().catch(() => {});
  }
}
