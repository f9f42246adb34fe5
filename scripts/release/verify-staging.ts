/** A staged repository as a device will see it: by the device's own client, from the very first root on. */
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Pack } from "../../src/embedding/pack.ts";
import { Fault } from "../../src/lib/fault.ts";
import { PackIdSchema } from "../../src/lib/id.ts";
import { blobPathOf } from "../../src/release/repository.ts";
import { createClock } from "../../src/system/clock.ts";
import { runCheck } from "../../src/update/tuf/check.ts";
import type { CheckRequest } from "../../src/update/tuf/messages.ts";
import { RepositoryOptions } from "../../src/update/tuf/options.ts";
import type { Checked, Floors, WantedPack } from "../../src/update/tuf/source.ts";
import { sha256OfFile } from "./files.ts";
import { hashedPathOf, type Listed, listedIn } from "./listing.ts";
import { type Published, rootVersions } from "./published.ts";
import type { TargetsMetadata } from "./roles.ts";
import type { Means, Workspace } from "./workspace.ts";

/** @throws Fault `staging_refused`: nothing was published */
export async function verifyStaging(
  workspace: Workspace,
  published: Published | undefined,
  targets: TargetsMetadata,
  means: Means,
  signal: AbortSignal,
): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "ostiary-release-"));
  try {
    const device = await newDevice(workspace, scratch, means, signal);
    // Today's devices first: what they trust now must lead to what comes.
    const before =
      published === undefined ? undefined : await device(workspace.repository, NOTHING);
    const floors = before?.floors;
    const listed = listedIn(targets);
    const wanted = listed.length === 0 ? [undefined] : listed;
    for (const each of wanted) {
      const checked = await device(workspace.staging, each ?? NOTHING, floors);
      const isMissing =
        checked.outcome.kind === "refused" && checked.outcome.fault.code === "target_missing";
      if (each === undefined && isMissing) continue;
      if (checked.outcome.kind === "refused") throw refused(checked.outcome.fault.message);
    }
    for (const each of listed) await wholePack(workspace.staging, each);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

const NOTHING = undefined;
type Device = (repository: string, listed: Listed | undefined, floors?: Floors) => Promise<Checked>;

async function newDevice(
  workspace: Workspace,
  scratch: string,
  means: Means,
  signal: AbortSignal,
): Promise<Device> {
  const metadata = join(workspace.staging, "metadata");
  const [first] = await rootVersions(metadata);
  const clock = createClock();
  return (repository, listed, floors) => {
    const request: CheckRequest = {
      options: RepositoryOptions.parse({ url: `${pathToFileURL(repository).href}/` }),
      pinnedRoot: join(metadata, `${first}.root.json`),
      stateDirectory: join(scratch, "device"),
      runtime: {
        hardware: listed?.custom.hardware[0] ?? "x64",
        version: listed?.custom.minimumRuntime ?? "0.0.0",
      },
      wanted: wantedOf(listed),
      now: means.now(),
      ...(floors === undefined ? {} : { floors }),
    };
    return runCheck(request, clock, signal);
  };
}

function wantedOf(listed: Listed | undefined): WantedPack {
  if (listed === undefined)
    return { id: PackIdSchema.parse("none"), sha256: "0".repeat(64), releaseCounter: 0 };
  const { packId: id, releaseCounter } = listed.custom;
  return { id, sha256: listed.sha256, releaseCounter };
}

/** Every blob that a listed pack names is there, whole. */
async function wholePack(staging: string, listed: Listed): Promise<void> {
  const file = join(staging, "targets", hashedPathOf(listed));
  const pack = Pack.parse(JSON.parse(await readFile(file, "utf8")));
  for (const { name, sha256, bytes } of pack.files) {
    const path = join(staging, blobPathOf(sha256));
    const size = await stat(path).then(
      (found) => found.size,
      () => undefined,
    );
    if (size === bytes && (await sha256OfFile(path)) === sha256) continue;
    throw refused(`${name} of pack ${pack.id} (${blobPathOf(sha256)}) is missing or changed`);
  }
}

function refused(why: string): Fault {
  return new Fault(
    "staging_refused",
    `a device would refuse this repository, nothing was published: ${why}`,
  );
}
