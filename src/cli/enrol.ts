/** `enrol`: creates the person if need be, then adds pictures, or collects at a camera. */
import { readFile } from "node:fs/promises";
import type { Answer } from "../lib/envelope.ts";
import { printAnswer, progressText } from "./answer.ts";
import type { Action } from "./command.ts";
import { type Control, openControl } from "./control.ts";
import { EXIT, type ExitCode, usage } from "./exit.ts";
import { printJson, type Terminal } from "./terminal.ts";

export const enrol: Action = async (context) => {
  const { args, terminal, signal } = context;
  const [images, camera] = [args.list("image"), args.optional("camera")];
  if (images.length > 0 === (camera !== undefined))
    throw usage("give either --image (may repeat) or --camera");
  const pictures = await Promise.all(
    images.map(async (file) => ({ file, bytes: await readFile(file) })),
  );
  const json = args.flag("json");
  await using control = await openControl(context);
  const id = args.operand(0);
  const person = { id, displayName: args.optional("name") ?? id, groups: args.list("group") };
  const put = await putIfNew(
    control,
    person,
    args.optional("name") !== undefined || args.list("group").length > 0,
    signal,
  );
  if (put !== undefined && !put.ok) return printAnswer(terminal, put, json, () => "");
  const extra = args.flag("allow-duplicate") ? { allowDuplicate: true } : {};
  if (camera !== undefined) {
    const show = (progress: unknown): void => terminal.error(`… ${progressText(progress)}\n`);
    const answer = await control.ask(
      "enrolment/start",
      { id, cameraId: camera, ...extra },
      signal,
      show,
    );
    return printAnswer(terminal, answer, json, () => `${id} is enrolled\n`);
  }
  const answers: { readonly file: string; readonly answer: Answer }[] = [];
  for (const { file, bytes } of pictures) {
    const answer = await control.ask(
      "enrolment/add-image",
      { id, image: bytes.toString("base64"), ...extra },
      signal,
    );
    answers.push({ file, answer });
  }
  return report(terminal, id, answers, json);
};

/** A known person keeps what is known of them, unless the command line says something about them. */
async function putIfNew(
  control: Control,
  person: { readonly id: string },
  isTold: boolean,
  signal: AbortSignal,
): Promise<Answer | undefined> {
  const known = isTold ? undefined : await control.ask("identity/get", { id: person.id }, signal);
  return known?.ok === true ? undefined : control.ask("identity/put", person, signal);
}

function report(
  terminal: Terminal,
  id: string,
  answers: readonly { readonly file: string; readonly answer: Answer }[],
  json: boolean,
): ExitCode {
  const failed = answers.filter(({ answer }) => !answer.ok).length;
  if (json)
    printJson(terminal, {
      schema: 1,
      id,
      images: answers.map(({ file, answer }) => ({ file, ...answer })),
    });
  else {
    for (const { file, answer } of answers) {
      if (answer.ok) terminal.out(`${file}: added\n`);
      else terminal.error(`ostiary: ${file}: ${answer.error.message} (${answer.error.code})\n`);
    }
  }
  return failed === 0 ? EXIT.ok : EXIT.refused;
}
