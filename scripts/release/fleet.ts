/** `fleet.yaml`: which devices there are, in which rings a pack reaches them, and when a ring was good. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { Fault } from "../../src/lib/fault.ts";
import { DeviceId, SiteId } from "../../src/lib/id.ts";
import { MqttOptions } from "../../src/mqtt/options.ts";
import { readYaml } from "./settings.ts";

const RingName = z.string().regex(/^[a-z0-9-]{1,32}$/, "must be 1 to 32 of a-z 0-9 -");
const share = z.number().min(0).max(1);

const Ring = z.strictObject({
  name: RingName,
  /** Devices without a ring of their own that it reaches together with the rings before, in percent. */
  percent: z.number().gt(0).max(100).optional(),
  /** The next ring begins when this share has committed … */
  committedMin: share.default(1),
  /** … the last of them this long ago. */
  soakHours: z.number().min(0).max(8760).default(24),
  /** A larger share of failed or rolled back devices pauses the rollout. */
  failedMax: share.default(0),
  /** So does a mean agreement of the shadow runs below this: 0 lets everything pass. */
  shadowAgreementMin: share.default(0.95),
});
export type Ring = z.infer<typeof Ring>;

const Device = z.strictObject({
  /** Second half of the address; unique within the site. */
  id: DeviceId,
  /** The site, when it is another than the fleet's. */
  site: SiteId.optional(),
  /** The device's public key, base64: from its `info` topic, checked once by somebody who saw the device. */
  publicKey: z.string().regex(/^[A-Za-z0-9+/]{43}=$/, "must be 32 bytes in base64"),
  ring: RingName.optional(),
});

const Fleet = z.strictObject({
  schema: z.literal(1),
  site: SiteId,
  /** Without it desired states are written as files only. */
  broker: z
    .strictObject({
      url: z.string(),
      caFile: z.string().optional(),
      certFile: z.string().optional(),
      keyFile: z.string().optional(),
      username: z.string().optional(),
      passwordFile: z.string().optional(),
      insecurePlaintext: z.boolean().optional(),
    })
    .optional(),
  devices: z.array(Device).min(1).max(100_000),
  rings: z.array(Ring).min(1).max(32),
});

export interface FleetDevice {
  /** `<site>/<device>` */
  readonly address: string;
  readonly publicKey: string;
  readonly ring: string;
}

export interface FleetPlan {
  readonly broker: MqttOptions | undefined;
  /** In the order in which they are walked. */
  readonly rings: readonly Ring[];
  readonly devices: readonly FleetDevice[];
}

/** @throws Fault `config_missing`, `config_invalid` */
export async function readFleet(path: string): Promise<FleetPlan> {
  const fleet = await readYaml(
    path,
    Fleet,
    "list your devices there: see scripts/release/README.md",
  );
  const invalid = (message: string): Fault => new Fault("config_invalid", `${path}: ${message}`);
  const devices = fleet.devices.map(({ id, site = fleet.site, ...rest }) => ({
    address: `${site}/${id}`,
    ...rest,
  }));
  const seen = new Set<string>();
  for (const { address, ring } of devices) {
    if (seen.has(address)) throw invalid(`${address} is listed twice`);
    seen.add(address);
    if (ring !== undefined && !fleet.rings.some(({ name }) => name === ring))
      throw invalid(`${address} is in ring ${ring}, which rings does not list`);
  }
  if (new Set(fleet.rings.map(({ name }) => name)).size < fleet.rings.length)
    throw invalid("two rings have the same name");
  const assigned = assignRings(devices, fleet.rings);
  if (typeof assigned === "string") throw invalid(assigned);
  return { broker: brokerOf(fleet, invalid), rings: fleet.rings, devices: assigned };
}

/** Percentages by the address's hash: a device stays where it is when others come and go. */
function assignRings(
  devices: readonly (Omit<FleetDevice, "ring"> & { readonly ring?: string | undefined })[],
  rings: readonly Ring[],
): readonly FleetDevice[] | string {
  const shares = rings.filter(({ percent }) => percent !== undefined);
  const rises = shares.every(
    ({ percent = 0 }, i) => i === 0 || percent > (shares[i - 1]?.percent ?? 0),
  );
  if (!rises) return "percent must rise from ring to ring: it counts the rings before";
  const left = devices.filter(({ ring }) => ring === undefined);
  if (left.length > 0 && shares.at(-1)?.percent !== 100)
    return `${left[0]?.address} has no ring: name one, or let the last ring with a percentage reach 100`;
  const byHash = [...left].sort((a, b) => (hashOf(a.address) < hashOf(b.address) ? -1 : 1));
  const ringOf = new Map(
    byHash.map(({ address }, index) => {
      const reached = (100 * (index + 1)) / byHash.length;
      // At least one device for the first share, however small.
      const ring = shares.find(
        ({ percent = 0 }, i) => reached <= percent || (i === 0 && index === 0),
      );
      return [address, ring?.name ?? ""] as const;
    }),
  );
  return devices.map(({ address, publicKey, ring }) => ({
    address,
    publicKey,
    ring: ring ?? ringOf.get(address) ?? "",
  }));
}

function hashOf(address: string): string {
  return createHash("sha256").update(address).digest("hex");
}

function brokerOf(
  fleet: z.infer<typeof Fleet>,
  invalid: (message: string) => Fault,
): MqttOptions | undefined {
  if (fleet.broker === undefined) return undefined;
  const parsed = MqttOptions.safeParse({ ...fleet.broker, site: fleet.site, device: "release" });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(`broker.${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
}
