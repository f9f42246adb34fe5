/** Somebody else on the broker: forges, repeats, retains, garbles. Nothing of it moves a door or the gallery, and nothing secret is told. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { readSigner } from "../../src/cli/send.ts";
import type { Answer, CommandPayload } from "../../src/lib/envelope.ts";
import { type Signer, seal, signerFromPem } from "../../src/mqtt/envelope.ts";
import { commandLineOf, descendantsOf, environmentOf } from "../support/daemon.ts";
import { withoutModels } from "../support/models.ts";
import { MIDDLE, stillOf, THREE_PEOPLE, visitClip } from "../support/people.ts";
import { BASE, GROUP, type Site, startSite } from "../support/site.ts";
import { monotonicNow, until } from "../support/tap.ts";

const skip = withoutModels();
if (skip !== false) console.error(skip);

const WAIT_MS = 45_000;
const PASSWORD = "s3cret-Pa55-of-the-camera";
const NAME = "Xaver Federkiel";
const INTRUDER = "intruder";

interface Raw {
  readonly topic?: string;
  readonly retain?: boolean;
  readonly responseTopic?: string;
  readonly correlation?: string;
}

describe("hostile messages", { skip, concurrency: 1 }, () => {
  let site: Site;
  let signer: Signer;
  let asked = 0;

  before(async () => {
    site = await startSite({
      cameras: [{ id: "front", auth: { user: "keeper", password: PASSWORD } }],
    });
    signer = await readSigner(site.keyFile);
  });
  after(() => site?.[Symbol.asyncDispose]());

  const put = (id = INTRUDER) => ({ id, displayName: "Intruder", groups: [GROUP] });

  /** Publishes bytes as a command. @returns where its answer would be */
  async function publish(
    bytes: string | Buffer,
    raw: Raw = {},
  ): Promise<{ readonly correlation: string; readonly topic: string }> {
    asked += 1;
    const correlation = raw.correlation ?? `raw-${asked}`;
    const topic = raw.responseTopic ?? `${BASE}response/${signer.kid}/raw`;
    await site.tap.publish(`${BASE}command/${raw.topic ?? "identity/put"}`, bytes, {
      retain: raw.retain === true,
      properties: { responseTopic: topic, correlationData: Buffer.from(correlation) },
    });
    return { correlation, topic };
  }

  /** The code of the answer to the place that the message named. */
  async function refusal(bytes: string | Buffer, raw: Raw = {}): Promise<string> {
    const { topic, correlation } = await publish(bytes, raw);
    return codeOf(topic, correlation);
  }

  async function codeOf(topic: string, correlation: string): Promise<string> {
    const answer = await site.eventually(
      () =>
        site.tap.heard.find((heard) => heard.topic === topic && heard.correlation === correlation),
      `an answer on ${topic} with ${correlation}`,
      WAIT_MS,
    );
    const parsed = JSON.parse(answer.text) as Answer;
    return parsed.ok ? "ok" : parsed.error.code;
  }

  /** A command of the administrator with some fields changed, then signed. It is answered where its payload says. */
  async function signed(
    change: (payload: CommandPayload) => Partial<CommandPayload>,
    raw: Raw = {},
    by = signer,
  ): Promise<string> {
    const { payload } = site.commands.sign("identity/put", put());
    const changed = { ...payload, kid: by.kid, ...change(payload) };
    const topic = `${BASE}response/${changed.kid}/${changed.replyTo}`;
    await publish(JSON.stringify(seal(JSON.stringify(changed), by)), {
      correlation: changed.correlation,
      responseTopic: topic,
      ...raw,
    });
    return codeOf(topic, changed.correlation);
  }

  test("forged, changed, retained and repeated decisions are refused by the door", async () => {
    await site.visit("front", await visitClip(THREE_PEOPLE), (all) => all.length > 0);
    const genuine = site.tap.on(`${BASE}decision`).at(-1)?.text ?? "";
    const envelope = JSON.parse(genuine);
    const forger = newSigner();
    const grant = JSON.stringify({
      ...JSON.parse(envelope.payload),
      outcome: "grant",
      reason: "allowed",
      identity: INTRUDER,
      id: "forged-decision",
      issuedAt: new Date().toISOString(),
      expiresAt: new Date(Date.now() + 5000).toISOString(),
    });
    const believed = site.decisions.length;
    const refused = async (text: string, retain: boolean, code: string): Promise<void> => {
      const before = site.refusals.length;
      await site.tap.publish(`${BASE}decision`, text, { retain });
      await site.eventually(
        () => site.refusals.length > before,
        `the door refuses (${code})`,
        WAIT_MS,
      );
      assert.equal(site.refusals.at(-1), code);
    };
    await refused(JSON.stringify(seal(grant, forger)), false, "unknown_key");
    await refused(
      JSON.stringify({ ...seal(grant, forger), kid: envelope.kid }),
      false,
      "bad_signature",
    );
    await refused(JSON.stringify({ ...envelope, payload: grant }), false, "bad_signature");
    await refused(genuine, true, "retained");
    const fresh = site.since(0).at(-1);
    // Still within its life it is a repetition, later it is stale: never a second opening.
    await refused(genuine, false, Date.now() < (fresh?.expiresAtMs ?? 0) ? "repeated" : "expired");
    assert.equal(site.decisions.length, believed, "nothing of it was believed");
    await site.tap.publish(`${BASE}decision`, "", { retain: true });
  });

  test("no decision is ever retained", () => {
    const own = site.tap
      .on(`${BASE}decision`)
      .filter(({ text }) => text !== "" && text.includes("payload"));
    assert(own.length > 0);
    const retained = own.filter(({ retain }) => retain);
    assert.equal(retained.length, 1, "only the one that this test retained");
  });

  test("garbled and unsigned commands", async () => {
    assert.equal(await refusal(JSON.stringify({ cmd: "identity/put", args: put() })), "unsigned");
    assert.equal(await refusal("{"), "malformed");
    assert.equal(await refusal(Buffer.from([0x7b, 0xff, 0xfe, 0x7d])), "malformed");
    assert.equal(await refusal(JSON.stringify(seal("[]", signer))), "malformed");
    assert.equal(await refusal(JSON.stringify({ ...seal("{}", signer), extra: 1 })), "malformed");
  });

  test("signed by a stranger, or changed after signing", async () => {
    assert.equal(await signed(() => ({}), {}, newSigner()), "unknown_key");
    const { envelope, payload } = site.commands.sign("identity/put", put());
    const changed = { ...envelope, payload: envelope.payload.replace("Intruder", "intruder") };
    assert.notEqual(changed.payload, envelope.payload);
    assert.equal(
      await refusal(JSON.stringify(changed), { correlation: payload.correlation }),
      "bad_signature",
    );
    const { payload: own } = site.commands.sign("identity/put", put());
    assert.equal(
      await refusal(JSON.stringify(seal(JSON.stringify({ ...own, kid: newSigner().kid }), signer))),
      "bad_signature",
    );
  });

  test("for another device, on another topic, or with another place for the answer", async () => {
    assert.equal(await signed(() => ({ aud: "test/other" })), "misaddressed");
    assert.equal(await signed(() => ({}), { topic: "identity/erase" }), "wrong_command");
    assert.equal(
      await signed(() => ({}), { correlation: "not-the-signed-one" }),
      "mismatched_reply",
    );
    const from = monotonicNow();
    assert.equal(
      await signed(() => ({}), { responseTopic: `${BASE}decision` }),
      "mismatched_reply",
    );
    assert.deepEqual(site.tap.on(`${BASE}decision`, from), [], "no answer goes where it may not");
  });

  test("too late, too early, too long-lived", async () => {
    assert.equal(await signed(({ iat }) => ({ iat: iat - 100, exp: iat - 50 })), "expired");
    assert.equal(await signed(({ iat }) => ({ exp: iat + 3600 })), "expired");
    assert.equal(await signed(({ iat }) => ({ iat: iat + 600, exp: iat + 630 })), "not_yet_valid");
  });

  test("retained, and an old number under a new id", async () => {
    assert.equal(await signed(() => ({}), { retain: true }), "retained");
    await site.tap.publish(`${BASE}command/identity/put`, "", { retain: true });
    await site.done("identity/put", put("number"));
    assert.equal(await signed(() => ({ seq: 1 })), "replayed");
    await site.done("identity/erase", { id: "number" });
  });

  test("too large: neither an effect nor a stumble", async () => {
    const { envelope, payload } = site.commands.sign("identity/put", {
      ...put(),
      metadata: { filler: "x".repeat(3 * 1024 * 1024) },
    });
    // The broker knows the device's limit and keeps it away, or the device refuses it: no answer of success.
    const from = monotonicNow();
    await publish(JSON.stringify(envelope), { correlation: payload.correlation }).catch(
      () => undefined,
    );
    await site.status();
    const answers = site.tap
      .on(`${BASE}response/${signer.kid}/raw`, from)
      .map(({ text }) => JSON.parse(text) as Answer);
    assert(
      answers.every((answer) => !answer.ok),
      JSON.stringify(answers),
    );
  });

  test("a command's bytes sent again, and its id sent again: the stored answer, one effect", async () => {
    const from = monotonicNow();
    const { envelope, payload } = site.commands.sign("identity/put", put("once"));
    const bytes = JSON.stringify(envelope);
    const own = `${BASE}response/${payload.kid}/${payload.replyTo}`;
    const answered = () =>
      site.tap.on(own, from).filter(({ correlation }) => correlation === payload.correlation);
    for (let sent = 1; sent <= 3; sent += 1) {
      await site.tap.publish(`${BASE}command/identity/put`, bytes);
      await site.eventually(() => answered().length >= sent, `answer ${sent}`, WAIT_MS);
    }
    const answers = answered().map(({ text }) => text);
    assert.equal(new Set(answers).size, 1, answers.join("\n"));
    const { schema: _schema, ...stored } = JSON.parse(answers[0] ?? "");
    assert.deepEqual(await site.ask("identity/put", put("once"), payload.id), stored);
    await site.status();
    const effects = site
      .events(from)
      .filter(({ type, body }) => type === "identity_put" && body["identity"] === "once");
    assert.equal(effects.length, 1, JSON.stringify(effects));
    await site.done("identity/erase", { id: "once" });
    // The erase's own stored answer does not bring the person back either.
    await site.tap.publish(`${BASE}command/identity/put`, bytes);
    assert.equal(await site.refused("identity/get", { id: "once" }), "unknown_identity");
  });

  test("a retained command that waits on the broker when the daemon starts is not obeyed", async () => {
    await site.stop();
    const { envelope } = site.commands.sign("identity/put", put());
    await site.tap.publish(`${BASE}command/identity/put`, JSON.stringify(envelope), {
      retain: true,
    });
    await site.start();
    assert.equal(await site.refused("identity/get", { id: INTRUDER }), "unknown_identity");
    await site.tap.publish(`${BASE}command/identity/put`, "", { retain: true });
  });

  test("after all of it nobody is enrolled, and the history knows of no intruder", async () => {
    assert.deepEqual((await site.done("identity/list", {}))["identities"], []);
    assert.deepEqual(
      site.events().filter(({ body }) => body["identity"] === INTRUDER),
      [],
    );
    assert(site.daemon.running);
  });

  test("the camera's password, names, pictures and embeddings are told nowhere", async () => {
    const picture = (await stillOf(THREE_PEOPLE, 3, MIDDLE)).toString("base64");
    await site.done("identity/put", {
      id: "p-1",
      displayName: NAME,
      groups: [GROUP],
      metadata: { badge: "badge-7391-x" },
    });
    await site.done("enrolment/add-image", { id: "p-1", image: picture });
    await site.visit("front", await visitClip(THREE_PEOPLE), (all) =>
      all.some(({ outcome }) => outcome === "grant"),
    );
    const children = descendantsOf(site.daemon.pid);
    assert(
      site.daemon.visionPid !== undefined && site.daemon.decoderPids.length === 1,
      "vision and a decoder run",
    );
    const processes = [site.daemon.pid, ...children].map(
      (pid) => `${commandLineOf(pid)}\n${environmentOf(pid)}`,
    );
    // What goes wrong is where secrets come out.
    await site.camera("front").kill();
    const down = monotonicNow();
    await site.cameraIs("front", "offline", down, WAIT_MS);
    await until(
      () =>
        site.daemon.log.filter((line) => line["message"] === "camera lost; will reconnect")
          .length >= 2,
      "two tries to reconnect",
      WAIT_MS,
    );
    processes.push(
      ...descendantsOf(site.daemon.pid).map(
        (pid) => `${commandLineOf(pid)}\n${environmentOf(pid)}`,
      ),
    );
    const said = site.tap.heard
      .filter(({ topic }) => !topic.includes("/command/") && !topic.includes("/response/"))
      .map(({ text }) => text);
    for (const secret of [
      PASSWORD,
      encodeURIComponent(PASSWORD),
      Buffer.from(`keeper:${PASSWORD}`).toString("base64"),
    ]) {
      for (const text of [
        site.daemon.output,
        ...processes,
        ...site.tap.heard.map(({ text }) => text),
      ])
        assert(!text.includes(secret), where(text, secret));
    }
    for (const secret of [NAME, "Federkiel", "badge-7391-x", picture.slice(0, 60)]) {
      for (const text of [site.daemon.output, ...processes, ...said])
        assert(!text.includes(secret), where(text, secret));
    }
    // Numbers in a row: an embedding, or pixels.
    assert.doesNotMatch(site.daemon.output, /(-?\d+(\.\d+)?(e-?\d+)?,\s*){8}/);
    assert.doesNotMatch(said.join("\n"), /(-?\d+(\.\d+)?(e-?\d+)?,\s*){8}/);
  });
});

function where(text: string, secret: string): string {
  const at = text.indexOf(secret);
  return `told: …${text.slice(Math.max(0, at - 200), at + 40)}…`;
}

function newSigner(): Signer {
  const { privateKey } = generateKeyPairSync("ed25519");
  return signerFromPem(privateKey.export({ type: "pkcs8", format: "pem" }).toString());
}
