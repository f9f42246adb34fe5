/** What the demo leaves on the screen. */
import type { ActResult } from "./acts.ts";
import type { DemoFacts } from "./main.ts";

export function summaryOf(acts: readonly ActResult[], facts: DemoFacts): string {
  const lines = acts.map((act) => `  ${act.ok ? "✓" : "✗"} ${act.name.padEnd(44)} ${act.detail}`);
  const latencies = acts
    .flatMap((act) => (act.latencyMs === undefined ? [] : [act.latencyMs]))
    .toSorted((a, b) => a - b);
  const latency =
    latencies.length === 0
      ? "no decision was timed"
      : `${latencies.map((ms) => `${Math.round(ms)} ms`).join(", ")}`;
  return [
    "",
    ...lines,
    "",
    `  first usable frame → decision received: ${latency}`,
    `  decisions verified by signature, device, expiry and id: ${facts.verified}; refused: ${facts.refused}`,
    `  inference on ${facts.provider}; pack ${facts.packId} (${facts.models})`,
    ...(facts.demoOnly
      ? [
          "  this pack is demo-only: the daemon opens no door with it unless insecure.demoOnlyPack is set",
        ]
      : []),
    "",
  ].join("\n");
}
