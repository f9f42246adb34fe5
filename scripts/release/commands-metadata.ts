/** `init`, `add`, `sign`, `rotate-key`: what needs the offline keys and nobody on the network. */
import { resolve } from "node:path";
import { usage } from "../../src/cli/exit.ts";
import { PackIdSchema } from "../../src/lib/id.ts";
import { Hardware } from "../../src/release/repository.ts";
import { action, directoryOf, externalOf, openWorkspace } from "./command-means.ts";
import type { DraftState } from "./drafts.ts";
import { initialise } from "./init.ts";
import { addPack, delistPack } from "./packs.ts";
import { rotateKey } from "./rotate.ts";
import { renew, signDrafts } from "./sign.ts";
import { tryPack } from "./try-pack.ts";

export const init = action(async (context, means) => {
  const { args } = context;
  const workspace = await initialise(
    {
      directory: directoryOf(context),
      singleKey: args.flag("single-key"),
      keysDirectory: args.optional("keys-dir"),
      external: externalOf(args),
    },
    means,
  );
  const { keys, director } = workspace.settings;
  const rows = Object.entries(keys).map(
    ([name, { file, command }]) => `  ${name.padEnd(12)} ${file ?? command?.join(" ")}`,
  );
  return {
    data: { directory: workspace.directory, keys, director },
    text: [
      workspace.directory,
      ...rows,
      "",
      "Next: ostiary-release sign, then publish. Then every device is given root and director:",
      `  scripts/install.sh --trust ${workspace.repository}/metadata/1.root.json ${workspace.at("director.pub")}`,
      "",
    ].join("\n"),
  };
});

export const add = action(async (context, means) => {
  const { args, signal } = context;
  using held = await openWorkspace(context);
  const [pack, delist] = [args.optional("pack"), args.optional("delist")];
  if ((pack === undefined) === (delist === undefined))
    throw usage("give either --pack or --delist");
  if (delist !== undefined) {
    const id = PackIdSchema.safeParse(delist);
    if (!id.success) throw usage(`--delist: "${delist}" is no pack's id`);
    await delistPack(held.workspace, id.data, means);
    return {
      data: { delisted: id.data },
      text: `${id.data} is not listed in the draft; next: sign\n`,
    };
  }
  const given = args.list("hardware");
  const hardware = Hardware.array().safeParse(given.length === 0 ? Hardware.options : given);
  if (!hardware.success) throw usage(`--hardware must be ${Hardware.options.join(" or ")}`);
  const listed = await addPack(
    held.workspace,
    resolve(pack ?? ""),
    hardware.data,
    (directory) => tryPack(directory, signal),
    means,
  );
  const { packId, releaseCounter, spaceId, bytes } = listed.custom;
  return {
    data: { ...listed },
    text: `${packId}, counter ${releaseCounter}, space ${spaceId}, ${bytes} bytes for ${hardware.data.join(" and ")}\n  pack.json ${listed.sha256}\nnext: sign\n`,
  };
});

export const sign = action(async (context, means) => {
  const { args } = context;
  using held = await openWorkspace(context);
  const role = args.optional("renew");
  if (role === "root" || role === "targets") await renew(held.workspace, role, means);
  else if (role !== undefined) throw usage("--renew must be root or targets");
  const drafts = await signDrafts(held.workspace, args.list("key"), means);
  return { data: { drafts }, text: draftsText(drafts) };
});

export const rotate = action(async (context, means) => {
  const { args } = context;
  using held = await openWorkspace(context);
  const [name, replacement] = [args.operand(0), args.operand(1)];
  const rotated = await rotateKey(
    held.workspace,
    {
      name,
      replacement,
      external: externalOf(args).get(replacement),
      keysDirectory: args.optional("keys-dir"),
    },
    means,
  );
  const text =
    rotated.roles.length === 0
      ? `${held.workspace.at("director.pub")} has the old director and the new one: give it to every device (scripts/install.sh --trust) before the next rollout\n`
      : `the next root has ${replacement} instead of ${name} for ${rotated.roles.join(", ")}; next: sign with the old keys and the new one\n`;
  return { data: { name, replacement, ...rotated }, text };
});

export function draftsText(drafts: readonly DraftState[]): string {
  return drafts
    .map(({ role, version, expires, counts, missing, isComplete, signedNow, changes }) => {
      const have = counts.map((count) => `${count.have} of ${count.threshold}`).join(" and ");
      const now = signedNow.length === 0 ? "" : `, now by ${signedNow.join(", ")}`;
      const rest = isComplete ? "complete" : `missing ${missing.join(" or ")}`;
      const lines = changes.map((change) => `  ${change}\n`).join("");
      return `${role} ${version}, until ${expires}: ${have} signatures${now}; ${rest}\n${lines}`;
    })
    .join("");
}
