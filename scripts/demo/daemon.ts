/** The daemon of the demo: its own configuration, keys and state in the demo's directory, run as anybody runs it. */
import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { writeNewKey } from "../../src/cli/keys.ts";
import type { DemoPack } from "./pack.ts";
import type { Child, Children } from "./processes.ts";

export const SITE = "demo";
export const DEVICE = "front";
export const CAMERA = "entrance";
export const DOOR = "front-door";
export const GROUP = "staff";

/** Stands in for a calibration that a pack lacks: strict for every embedder known so far. */
const UNCALIBRATED_COSINE_MIN = 0.5;

/**
 * What a demo-only pack is asked for: one stranger in a hundred may be taken for somebody. At the daemon's
 * default of one in a thousand it would hardly know anybody again.
 */
export const DEMO_ONLY_MATCH = { fpirTarget: 0.01 };

export interface DemoDaemon {
  readonly child: Child;
  /** Private key (PEM) of the one administrator. */
  readonly keyFile: string;
  readonly keyId: string;
}

interface DaemonOptions {
  readonly root: string;
  readonly scratch: string;
  readonly brokerUrl: string;
  readonly cameraUrl: string;
  readonly pack: DemoPack;
}

export async function startDaemon(children: Children, options: DaemonOptions): Promise<DemoDaemon> {
  const { root, scratch, brokerUrl, cameraUrl, pack } = options;
  const key = await writeNewKey(join(scratch, "keys"), "administrator");
  const deviceKey = join(scratch, "keys/device.key");
  await writeFile(deviceKey, randomBytes(32), { mode: 0o600 });
  const paths = {
    state: join(scratch, "state"),
    runtime: join(scratch, "run"),
    pack: pack.directory,
    deviceKey,
  };
  await Promise.all([paths.state, paths.runtime].map((path) => mkdir(path, { mode: 0o700 })));
  const config = {
    mqtt: { site: SITE, device: DEVICE, url: brokerUrl },
    cameras: [{ id: CAMERA, url: cameraUrl, fps: 10 }],
    access: {
      groups: [GROUP],
      doors: [{ id: DOOR, cameras: [CAMERA], allow: { [GROUP]: ["always"] } }],
    },
    control: {
      keys: [{ name: "demo administrator", publicKey: key.publicKey, role: "administrator" }],
    },
    match: {
      ...(pack.calibrated ? {} : { cosineMin: UNCALIBRATED_COSINE_MIN }),
      ...(pack.demoOnly ? DEMO_ONLY_MATCH : {}),
    },
    ...(pack.demoOnly ? { insecure: { demoOnlyPack: true } } : {}),
    paths,
  };
  const file = join(scratch, "ostiary.yaml");
  await writeFile(file, stringify(config), { mode: 0o600 });
  const child = children.start(join(root, "scripts/ostiary"), ["run", "--config", file]);
  return { child, keyFile: key.file, keyId: key.kid };
}
