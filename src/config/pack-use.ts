/** Whether a pack may open doors on this device, and what the operator must hear about it. */
import type { Pack } from "../embedding/pack.ts";
import { type Config, warningsOf } from "./schema.ts";

export interface PackUse {
  /** Without it everybody whom the pack recognises is denied as `demo_only`. */
  readonly opensDoors: boolean;
  /** Loud at every start and in every check; undefined for a pack that is meant for doors. */
  readonly warning?: string;
}

export function packUseOf(
  pack: Pick<Pack, "id" | "demoOnly">,
  { insecure }: Pick<Config, "insecure">,
): PackUse {
  if (!pack.demoOnly) return { opensDoors: true };
  const { demoOnlyPack: opensDoors } = insecure;
  const what = `pack ${pack.id} is marked demoOnly: its weights are not measured or not licensed for a door`;
  const so = opensDoors
    ? "insecure.demoOnlyPack lets it open doors all the same"
    : "everybody whom it recognises is denied as demo_only; set paths.pack to a pack for doors, or insecure.demoOnlyPack for a demonstration";
  return { opensDoors, warning: `${what}; ${so}` };
}

/** What is said at every start: protections that the site gave up, then what the pack is not good for. */
export function startWarningsOf(
  pack: Pick<Pack, "id" | "demoOnly">,
  config: Config,
): readonly { readonly code: string; readonly text: string }[] {
  const { warning } = packUseOf(pack, config);
  return [
    ...warningsOf(config).map((text) => ({ code: "insecure", text })),
    ...(warning === undefined ? [] : [{ code: "demo_only", text: warning }]),
  ];
}
