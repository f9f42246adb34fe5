/** What an update costs on the wire: a signed repository over HTTP, the device's own client and packs. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addPack } from "../../scripts/release/packs.ts";
import type { EpochMs } from "../../src/lib/brand.ts";
import type { PackOnDisk } from "../../src/release/ports.ts";
import { createClock } from "../../src/system/clock.ts";
import { Packs } from "../../src/update/packs.ts";
import { RepositoryOptions } from "../../src/update/tuf/options.ts";
import { Releases } from "../../src/update/tuf/releases.ts";
import { RecordingLog } from "../support/log.ts";
import { TestRepository } from "../support/release.ts";

const never = new AbortController().signal;

export interface BytesFetched {
  /** TUF's, for a device that has seen the release before. */
  readonly metadata: number;
  readonly manifest: number;
  readonly models: number;
  /** Of all files of the pack. */
  readonly whole: number;
}

/** @param to differs from `from`, which the device has, in its embedder */
export async function bytesFetched(from: PackOnDisk, to: PackOnDisk): Promise<BytesFetched> {
  const scratch = await mkdtemp(join(tmpdir(), "ostiary-bytes-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(scratch, { recursive: true, force: true }));
  const made = await TestRepository.make(scratch);
  const sent = new Map<string, number>();
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "", "http://x").pathname;
    try {
      const bytes = readFileSync(join(made.workspace.repository, path));
      const folder = path.split("/")[1] ?? "";
      sent.set(folder, (sent.get(folder) ?? 0) + bytes.byteLength);
      response.writeHead(200, { "content-length": bytes.byteLength }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => void server.close());
  const { port } = server.address() as AddressInfo;

  const clock = createClock();
  const releases = new Releases(
    {
      repository: RepositoryOptions.parse({ url: `http://127.0.0.1:${port}/` }),
      pinnedRoot: made.pinnedRoot,
      stateDirectory: join(scratch, "tuf"),
      runtime: { hardware: "x64", version: "9.9.9" },
    },
    { clock, log: new RecordingLog() },
  );
  const check = async ({ directory, pack, sha256 }: PackOnDisk) => {
    const { id, releaseCounter } = pack;
    await addPack(made.workspace, directory, ["x64", "arm64"], async () => {}, made.means);
    await made.publish();
    const wanted = { id, sha256, releaseCounter };
    const { outcome } = await releases.check(wanted, undefined, clock.epochMs() as EpochMs, never);
    if (outcome.kind === "refused") throw outcome.fault;
    return outcome.packJson;
  };
  await check(from);
  sent.clear();
  const packs = await Packs.open({ directory: join(scratch, "packs"), factory: from.directory });
  await packs.begin(await check(to));
  for (const { into, ...blob } of await packs.missing(to.sha256, to.pack))
    await releases.fetchBlob(blob, into, () => undefined, never);
  await packs.stage(to.sha256);
  const size = (folder: string): number => sent.get(folder) ?? 0;
  return {
    metadata: size("metadata"),
    manifest: size("targets"),
    models: size("blobs"),
    whole: to.pack.files.reduce((sum, file) => sum + file.bytes, 0),
  };
}
