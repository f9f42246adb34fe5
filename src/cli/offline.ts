/** The daemon's commands on its store, while the daemon is stopped. No camera and no models: those refuse. */
import { Dispatcher } from "../control/dispatcher.ts";
import { EnrolmentSessions } from "../control/enrolment-sessions.ts";
import type { Answer } from "../lib/envelope.ts";
import { Fault } from "../lib/fault.ts";
import { createClock } from "../system/clock.ts";
import { createRandom } from "../system/random.ts";
import type { LoadedConfig } from "./config-file.ts";
import type { Control } from "./control.ts";
import { openStoreOf, QUIET } from "./store-of.ts";

/** @throws Fault `store_locked` while somebody else has the store, and the device key's faults */
export function openOffline(loaded: LoadedConfig): Control {
  const clock = createClock();
  const random = createRandom();
  const store = openStoreOf(loaded, random);
  const away = (): never => {
    throw new Fault("daemon_stopped", "this needs the running daemon: systemctl start ostiary", {
      retry: "later",
    });
  };
  const dispatcher = new Dispatcher({
    clock,
    log: QUIET,
    inbox: store.inbox,
    newStream: () => random.id(clock.epochMs()),
    commands: {
      clock,
      options: loaded.config.control,
      reader: store.record,
      gallery: () => undefined,
      vision: { analyseImage: away, snapshot: away, collect: away },
      rules: () => loaded.config.access,
      cameraIds: () => [],
      startReplay: () => ({ kind: "empty" }),
      status: () => ({ daemon: "stopped" }),
      threshold: () => ({ kind: "none", reason: "not_calibrated" }),
      enrolment: () => loaded.config.enrolment,
      enrolmentLimits: () => loaded.config.vision.enrolment,
      sessions: new EnrolmentSessions(),
      updates: { status: away, check: away, apply: away, abort: away, rollBack: away },
    },
  });
  return {
    ask: (name, args) =>
      new Promise<Answer>((resolve) => {
        let last: Answer | undefined;
        const keep = (answer: Answer): void => {
          last = answer;
        };
        void dispatcher
          .submitLocal({ id: random.id(clock.epochMs()), name, args }, keep)
          .then(() => {
            resolve(
              last ?? {
                ok: false,
                error: { code: "internal", message: "the command gave no answer" },
              },
            );
          });
      }),
    [Symbol.asyncDispose]: async () => {
      await dispatcher[Symbol.asyncDispose]();
      store[Symbol.dispose]();
    },
  };
}
