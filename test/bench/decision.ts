/** First usable frame → decision at the door, over real RTSP and a real broker, the daemon a process of its own. */
import { startSite } from "../support/site.ts";
import { monotonicNow } from "../support/tap.ts";
import { atMost, type Bench } from "./bench.ts";
import { visitClip } from "./pictures.ts";
import { enrolPerson, LAUNCHED, PERSON, settled } from "./site.ts";
import { percentile, timingOf } from "./stats.ts";

const VISITS = 30;
const QUICK_VISITS = 4;
const FPS = 10;
const QUORUM = 3;
/** Three frames take two intervals to arrive, whatever the machine. */
const QUORUM_MS = ((QUORUM - 1) * 1000) / FPS;
const VISIT = { from: 0.5, until: 2.5, seconds: 3 };

interface Visit {
  /** From the capture of the first usable frame to the decision's arrival, verified, at a consumer. */
  readonly latencyMs: number;
  readonly outcome: string;
}

export const bench: Bench = async ({ quick, say }) => {
  const clip = await visitClip(VISIT);
  await using site = await startSite({
    env: LAUNCHED,
    cameras: [{ id: "front" }],
    // The next visit is a new one: none waits for the one before to cool down.
    config: { decision: { coolDownMs: 0 } },
  });
  await enrolPerson(site);
  const visits: Visit[] = [];
  const wanted = quick ? QUICK_VISITS : VISITS;
  for (let visit = 0; visit < wanted; visit += 1) {
    await settled(site);
    const from = monotonicNow();
    await site.camera("front").play(clip);
    const decision = await site.eventually(
      () => site.since(from).find(({ identity }) => identity === PERSON),
      `decision ${visit + 1}`,
      30_000,
    );
    const event = await site.eventually(
      () => site.events(from).find(({ body }) => body["id"] === decision.id),
      "the decision's event",
      10_000,
    );
    const first = Number(event.body["firstUsableAt"]);
    visits.push({ latencyMs: decision.arrivedAt - first, outcome: decision.outcome });
    say(`visit ${visit + 1} of ${wanted}: ${Math.round(decision.arrivedAt - first)} ms`);
  }
  const latencies = visits.map(({ latencyMs }) => latencyMs);
  const { p50Ms, p95Ms } = timingOf(latencies);
  const beyond = timingOf(latencies.map((ms) => ms - QUORUM_MS));
  const grants = visits.filter(({ outcome }) => outcome === "grant").length;
  return {
    tables: [
      {
        title: "First usable frame → decision at the door, 10 fps, 3-frame quorum",
        columns: ["what", "visits", "grants", "p50 ms", "p95 ms", "max ms"],
        rows: [
          [
            "capture of the first usable frame → verified decision",
            wanted,
            grants,
            p50Ms,
            p95Ms,
            percentile(latencies, 1),
          ],
          [
            `of it beyond the quorum's ${QUORUM_MS} ms`,
            wanted,
            grants,
            beyond.p50Ms,
            beyond.p95Ms,
            percentile(latencies, 1) - QUORUM_MS,
          ],
        ],
        notes: [
          "RTSP server, decoder, vision, main, Mosquitto and the verifying consumer share the machine",
          "the quorum takes two frame intervals; a frame that is not usable in between adds one more (100 ms)",
        ],
      },
    ],
    budgets: [atMost("first usable frame → decision on MQTT, p95", 350, p95Ms, "ms")],
  };
};
