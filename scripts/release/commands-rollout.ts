/** `publish`, `promote`, `pause`, `rollback`, `status`: what changes or reads what devices see. */
import { join, resolve } from "node:path";
import type { CommandContext } from "../../src/cli/command.ts";
import { EXIT, usage } from "../../src/cli/exit.ts";
import { tableOf } from "../../src/cli/terminal.ts";
import type { PackId } from "../../src/lib/brand.ts";
import { PackIdSchema } from "../../src/lib/id.ts";
import { Hardware } from "../../src/release/repository.ts";
import { action, type Outcome, openRollouts, openWorkspace } from "./command-means.ts";
import { draftsText } from "./commands-metadata.ts";
import { exists } from "./files.ts";
import type { Listed } from "./listing.ts";
import { addPack } from "./packs.ts";
import { prune } from "./prune.ts";
import { publishMetadata } from "./publication.ts";
import {
  beginRollout,
  pause as pauseRollout,
  promote as promoteRollout,
  rollBack,
  rolloutStatus,
  type Told,
} from "./rollouts.ts";
import { signDrafts } from "./sign.ts";
import { type Status, statusOf } from "./status.ts";
import { tryPack } from "./try-pack.ts";
import type { Means, Workspace } from "./workspace.ts";

export const publish = action(async (context, means) => {
  const { args } = context;
  const [pack, from] = [args.optional("pack"), args.optional("from")];
  if (pack !== undefined && from !== undefined) throw usage("give either --pack or --from");
  if (pack !== undefined) return begin(context, means, pack);
  if (from === undefined && args.optional("ring") !== undefined)
    throw usage("--ring needs --pack or --from");
  using held = await openWorkspace(context);
  const listed =
    from === undefined ? undefined : await drafted(held.workspace, from, context, means);
  const published = await put(held.workspace, context, means);
  const fleetFile = args.optional("fleet") ?? held.workspace.at("fleet.yaml");
  if (listed === undefined || !(await exists(fleetFile))) return published;
  held[Symbol.dispose]();
  const begun = await begin(context, means, listed.custom.packId);
  return { data: { ...published.data, ...begun.data }, text: published.text + begun.text };
});

/** Adds and signs: what is missing then is said by the publication. */
async function drafted(
  workspace: Workspace,
  directory: string,
  { signal }: CommandContext,
  means: Means,
): Promise<Listed> {
  const listed = await addPack(
    workspace,
    resolve(directory),
    Hardware.options,
    (path) => tryPack(path, signal),
    means,
  );
  await signDrafts(workspace, [], means);
  return listed;
}

async function put(
  workspace: Workspace,
  { args, signal }: CommandContext,
  means: Means,
): Promise<Outcome> {
  const publication = await publishMetadata(workspace, means, signal);
  const pruned = args.flag("prune") ? await prune(workspace.repository) : [];
  const { files, ...versions } = publication;
  const said = Object.entries(versions).map(([role, version]) => `${role} ${version}`);
  const gone = pruned.length === 0 ? "" : `, ${pruned.length} removed`;
  return {
    data: { ...publication, pruned },
    text: `${workspace.repository}\n  ${said.join(", ")}; ${files.length} new files${gone}\n`,
  };
}

async function begin(context: CommandContext, means: Means, pack: string): Promise<Outcome> {
  const { args } = context;
  await using all = await openRollouts(context, means);
  const ring = args.optional("ring") ?? all.fleet.rings[0]?.name ?? "";
  const begun = await beginRollout(all, {
    packId: packIdOf(pack),
    ring,
    days: args.number("days", 0.01, 366),
    again: args.flag("again"),
  });
  return { data: { ...begun }, text: toldText(begun) };
}

export const promote = action(async (context, means) => {
  await using all = await openRollouts(context, means);
  const promoted = await promoteRollout(all, context.signal);
  const { kind, why } = promoted.verdict;
  return {
    exit: kind === "abort" ? EXIT.refused : EXIT.ok,
    data: { ...promoted },
    text: `${kind === "abort" ? "paused" : kind}: ${why}\n${toldText(promoted)}`,
  };
});

export const pause = action(async (context, means) => {
  await using all = await openRollouts(context, means);
  const paused = await pauseRollout(all, context.args.text("reason"), context.signal);
  return { data: { ...paused }, text: toldText(paused) };
});

export const rollback = action(async (context, means) => {
  const { args } = context;
  await using all = await openRollouts(context, means);
  const rolled = await rollBack(all, packIdOf(args.text("pack")), args.number("days", 0.01, 366));
  return { data: { ...rolled }, text: toldText(rolled) };
});

export const status = action(async (context, means) => {
  const { args, signal } = context;
  const fleetFile = args.optional("fleet");
  const workspace = await (async () => {
    using held = await openWorkspace(context);
    return held.workspace;
  })();
  const shown = await statusOf(workspace, means);
  const hasFleet =
    fleetFile !== undefined || (await exists(join(workspace.directory, "fleet.yaml")));
  let rollout: Told | undefined;
  if (hasFleet) {
    await using all = await openRollouts(context, means);
    rollout = await rolloutStatus(all, signal);
  }
  const isExpired = shown.roles.some(({ state }) => state === "expired");
  return {
    exit: isExpired ? EXIT.refused : EXIT.ok,
    data: { ...shown, ...(rollout === undefined ? {} : { rollout }) },
    text: `${statusText(shown)}${rollout === undefined ? "" : toldText(rollout)}`,
  };
});

function packIdOf(text: string): PackId {
  const parsed = PackIdSchema.safeParse(text);
  if (!parsed.success) throw usage(`--pack: "${text}" is no pack's id`);
  return parsed.data;
}

function toldText({ job, rings, wished, sent, refused }: Told): string {
  const { wanted, status: state, kind, reason } = job;
  const lines = [
    `${kind} ${wanted.jobId}: ${wanted.pack.id} (counter ${wanted.pack.releaseCounter}), ${state}${reason === undefined ? "" : `: ${reason}`}`,
    tableOf(
      ["ring", "devices", "committed", "failed", "under way", "waiting"],
      rings.map((ring) => [
        ring.ring,
        ...[ring.devices, ring.committed, ring.failed, ring.begun, ring.waiting].map(String),
      ]),
    ).trimEnd(),
    ...(wished.length === 0
      ? []
      : [`${wished.length} devices have a new wish, ${sent.length} were told over the broker`]),
    ...refused.map(({ address, code }) => `report of ${address} not counted: ${code}`),
  ];
  return `${lines.join("\n")}\n`;
}

function statusText({ repository, roles, drafts, packs }: Status): string {
  const published =
    roles.length === 0
      ? "nothing is published yet\n"
      : tableOf(
          ["role", "version", "until", ""],
          roles.map(({ role, version, expires, state, fix }) => [
            role,
            String(version),
            expires,
            state === "good" ? "" : `${state === "soon" ? "expires soon" : "EXPIRED"}: ${fix}`,
          ]),
        );
  const listed =
    packs.length === 0
      ? ""
      : tableOf(
          ["pack", "counter", "space", "for", "bytes"],
          packs.map(({ custom }) => [
            custom.packId,
            String(custom.releaseCounter),
            custom.spaceId,
            custom.hardware.join(" "),
            String(custom.bytes),
          ]),
        );
  const drafted =
    drafts.length === 0 ? "" : `drafts\n${draftsText(drafts).replace(/^/gm, "  ").trimEnd()}\n`;
  return `${repository}\n${published}${listed}${drafted}`;
}
