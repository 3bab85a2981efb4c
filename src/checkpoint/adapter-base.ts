// Which base model an adapter belongs to: the name in adapter_config.json, which PEFT and transformers take for a path
// from the working directory or for a model of the hub, and where the base lies. That stands in a file of our own too,
// as a path from the adapter's folder: the two can be moved together. It does NOT read models.
import { join, relative, resolve } from "node:path";
import { fail } from "../errors";
import { readJson, writeFileAtomic } from "../files";
import { fileExists, isObject } from "../text/tokenizer-files";

/** Beside adapter_config.json. PEFT does not look at it. */
export const BASE_FILE = "base_model.json";

export interface BaseModel {
  /** base_model_name_or_path: its name on the hub where that is known, else its absolute path, good from everywhere. */
  name: string;
  /** Revision of the name on the hub, where the path tells. */
  revision?: string;
  /** Its directory, or llama2.c file; absolute. */
  path: string;
}

/** Where huggingface_hub keeps what it has downloaded: models--ORGANIZATION--NAME/snapshots/REVISION. */
const HUB_CACHE = /\/models--([^/]+)\/snapshots\/([^/]+)$/;

/** A name on the hub, of an organization or without one; a path that begins with a dot or a slash is none. */
const HUB_NAME = /^\w[\w.-]*(?:\/\w[\w.-]*)?$/;

/** The model at a path. Its config.json may name a model too, but that is the one it was made from. */
export function baseAt(path: string): BaseModel {
  const absolute = resolve(path);
  const [, name, revision] = HUB_CACHE.exec(absolute) ?? [];
  if (name === undefined || revision === undefined) return { name: absolute, path: absolute };
  return { name: name.replace("--", "/"), revision, path: absolute };
}

/** The first of these paths where something lies. */
async function firstThere(paths: readonly string[]): Promise<string | undefined> {
  const there = await Promise.all(paths.map(fileExists));
  return paths.find((_, index) => there[index]);
}

/** Where our own file says that the model of this name lies; nothing where it speaks of another name. */
async function notedPlace(directory: string, named: string): Promise<string[]> {
  const path = join(directory, BASE_FILE);
  if (!(await fileExists(path))) return [];
  const noted = await readJson(path);
  const isIt = isObject(noted) && noted["base_model_name_or_path"] === named && typeof noted["path"] === "string";
  return isIt ? [resolve(directory, String(noted["path"]))] : [];
}

/**
 * The base model of the adapter in `directory`: at the path given, or where the adapter says.
 * @param named base_model_name_or_path, as it stands in the file; a path may start at the adapter's folder too
 * @throws ERR_IO with the option that helps
 */
export async function findBase(directory: string, named: string | null, given?: string): Promise<BaseModel> {
  const paths = named === null ? [] : [...new Set([resolve(directory, named), resolve(named)])];
  const noted = named === null ? [] : await notedPlace(directory, named);
  const path = given === undefined ? await firstThere([...noted, ...paths]) : resolve(given);
  if (path === undefined) {
    const where = named === null ? "names no base model" : `names the base model ${JSON.stringify(named)}, which is not `
      + `there (looked for ${[...noted, ...paths].join(", ")})`;
    return fail("ERR_IO", `${join(directory, "adapter_config.json")}: ${where}; give its directory as base_model `
      + "(--base-model on the command line, student.base_model in a run file), or write its path there",
    { path: directory, option: "base_model" });
  }
  const isOnHub = named !== null && HUB_NAME.test(named) && (await firstThere(paths)) === undefined;
  return isOnHub ? { name: named, path } : baseAt(path);
}

/** Writes the place of the base into `directory`, whose files will lie at `location`. @throws ERR_IO */
export async function writeBase(directory: string, { name, path }: BaseModel, location: string): Promise<void> {
  const json = { base_model_name_or_path: name, path: relative(resolve(location), path) };
  await writeFileAtomic(join(directory, BASE_FILE), `${JSON.stringify(json, null, 2)}\n`);
}
