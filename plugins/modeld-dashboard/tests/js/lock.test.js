// SPDX-License-Identifier: GPL-3.0-only
// What package-lock.json says is what is installed, whatever the registry has by then.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

const HERE = path.join(import.meta.dirname, "..", "..");
const NEWER = "9999.0.0";

/**
 * A package of npm's: a tar archive of one file.
 * @param {object} manifest
 */
function archive(manifest) {
  const content = Buffer.from(JSON.stringify(manifest));
  const header = Buffer.alloc(512);
  header.write("package/package.json");
  header.write("0000644\0", 100);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("        0", 148);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const padding = Buffer.alloc(1024 + ((512 - (content.length % 512)) % 512));
  return gzipSync(Buffer.concat([header, content, padding]));
}

/** @param {Buffer} bytes */
function integrity(bytes) {
  return `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
}

test("npm ci installs what is locked when the registry has newer versions of everything", async t => {
  const folder = await mkdtemp(path.join(tmpdir(), "lock-"));
  t.after(() => rm(folder, { recursive: true }));
  const lock = JSON.parse(await readFile(path.join(HERE, "package-lock.json"), "utf8"));

  /** @type {Map<string, { version: string, dependencies: object, bytes: Buffer }[]>} */
  const registry = new Map();
  for (const [where, entry] of Object.entries(lock.packages)) {
    if (where === "") continue;
    const name = where.replace("node_modules/", "");
    const others = Object.keys(entry.dependencies ?? {}).map(each => [each, "*"]);
    const dependencies = Object.fromEntries(others);
    const served = [entry.version, NEWER].map(version => {
      const manifest = { name, version, dependencies };
      return { ...manifest, bytes: archive(manifest) };
    });
    registry.set(name, served);
    entry.integrity = integrity(archive({ name, version: entry.version, dependencies }));
  }
  const server = createServer((request, response) => {
    const [name, version] = decodeURIComponent(request.url ?? "")
      .slice(1)
      .split("/-/");
    const found = registry.get(name ?? "");
    if (found === undefined) return response.writeHead(404).end();
    if (version !== undefined) {
      return response.end(found.find(each => each.version === version)?.bytes);
    }
    const versions = found.map(({ bytes, ...manifest }) => {
      const tarball = `${url}/${name}/-/${manifest.version}`;
      return [manifest.version, { ...manifest, dist: { tarball, integrity: integrity(bytes) } }];
    });
    const tags = { latest: NEWER };
    const packument = { name, "dist-tags": tags, versions: Object.fromEntries(versions) };
    return response.end(JSON.stringify(packument));
  });
  await new Promise(resolve => server.listen(0, "127.0.0.1", () => resolve(null)));
  t.after(() => server.close());
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  const url = `http://127.0.0.1:${address.port}`;

  const declared = await readFile(path.join(HERE, "package.json"), "utf8");
  await writeFile(path.join(folder, "package.json"), declared);
  await writeFile(path.join(folder, "package-lock.json"), JSON.stringify(lock));
  const flags = [
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--cache",
    path.join(folder, "cache"),
  ];
  await promisify(execFile)("npm", ["ci", "--registry", url, ...flags], { cwd: folder });

  const installed = path.join(folder, "node_modules", ".package-lock.json");
  const { packages } = JSON.parse(await readFile(installed, "utf8"));
  const optional = Object.keys(lock.packages).filter(where => lock.packages[where].optional);
  const needed = Object.keys(lock.packages).filter(where => where && !optional.includes(where));
  assert.ok(needed.every(where => where in packages));
  for (const [where, { version }] of Object.entries(packages)) {
    assert.equal(version, lock.packages[where]?.version, where);
    const own = JSON.parse(await readFile(path.join(folder, where, "package.json"), "utf8"));
    assert.equal(own.version, version, where);
  }
});
