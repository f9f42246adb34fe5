/** `inspect`: what the models see in one picture. */
import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { AnalysedFace } from "../observation/messages.ts";
import { packDirectoryOf } from "./check-pack.ts";
import type { Action, CommandContext } from "./command.ts";
import { loadConfigOf } from "./config-file.ts";
import { EXIT, refused } from "./exit.ts";
import { bundledPacks } from "./models-list.ts";
import { openModels } from "./pictures.ts";
import { printJson } from "./terminal.ts";

const FACES_MAX = 64;

export const inspect: Action = async (context) => {
  const { args, terminal } = context;
  const image = args.operand(0);
  const bytes = await readFile(image);
  await using models = await openModels(await packOf(context), args.number("threads", 0, 256));
  const analysis = await models.analyse(bytes, FACES_MAX);
  const main = analysis.faces.toSorted((a, b) => areaOf(b) - areaOf(a))[0];
  const cropFile = args.optional("crop-out");
  if (cropFile !== undefined) {
    const aligned =
      main === undefined ? undefined : models.align(models.image(bytes), main.face.landmarks);
    if (aligned === undefined)
      throw refused("no_face", `${image} shows no face that could be cropped`);
    await writeFile(cropFile, models.cv.imencode(".png", aligned.crop));
  }
  const faces = analysis.faces.map(({ face, quality }) => ({ ...face, quality }));
  if (args.flag("json")) {
    const { widthPx, heightPx, spaceId } = analysis;
    const { packId, provider } = models.loaded;
    printJson(terminal, {
      schema: 1,
      image,
      widthPx,
      heightPx,
      packId,
      spaceId,
      provider,
      faces,
      ...(cropFile === undefined ? {} : { crop: cropFile }),
    });
  } else if (faces.length === 0) terminal.out("No face.\n");
  else for (const [index, face] of faces.entries()) terminal.out(textOf(index, face));
  return EXIT.ok;
};

/** `--pack`, else the configuration's, else the bundled one. @throws refused `no_pack` */
export async function packOf(context: CommandContext): Promise<string> {
  const given = context.args.optional("pack");
  if (given !== undefined) return resolve(given);
  const named =
    context.args.optional("config") !== undefined ||
    context.terminal.env["OSTIARY_CONFIG"] !== undefined;
  const loaded = await loadConfigOf(context).catch((fault: unknown) => {
    if (named) throw fault;
    return undefined;
  });
  const directory =
    loaded === undefined
      ? (await bundledPacks())[0]?.directory
      : await packDirectoryOf(loaded.config);
  if (directory === undefined)
    throw refused(
      "no_pack",
      "no pack is bundled or configured: give --pack, made by ostiary models import",
    );
  return directory;
}

const areaOf = ({ face }: AnalysedFace): number => face.box.width * face.box.height;

function textOf(
  index: number,
  { box, score, quality }: AnalysedFace["face"] & Pick<AnalysedFace, "quality">,
): string {
  const { eyeDistancePx, sharpness, brightness, yaw, pitch } = quality.measures;
  const where = `${box.width.toFixed(0)}×${box.height.toFixed(0)} at ${box.x.toFixed(0)},${box.y.toFixed(0)}`;
  const measured = `eyes ${eyeDistancePx.toFixed(0)} px  sharpness ${sharpness.toFixed(0)}  brightness ${brightness.toFixed(0)}  yaw ${yaw.toFixed(2)}  pitch ${pitch.toFixed(2)}`;
  return `face ${index + 1}  ${where}  score ${score.toFixed(3)}\n        ${measured}\n        ${quality.reasons.length === 0 ? "good enough to enrol" : `not good enough to enrol: ${quality.reasons.join(", ")}`}\n`;
}
