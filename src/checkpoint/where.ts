// Why a path holds no model, and what to do: said in one place for configs and tokenizers, which are looked for first.
// It does NOT read a model.
import { readdir, stat } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { fail } from "../errors";

const HUB_NAME = /^[\w-][\w.-]*\/[\w-][\w.-]*$/;

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}

/** For the name of a model on the hub, which transformers would fetch. */
async function ofHub(path: string): Promise<string> {
  const name = path.split("/").slice(-2).join("/");
  if (!HUB_NAME.test(name) || await exists(dirname(path))) return "";
  return `; nothing is fetched from the hub: if its ${name} is meant, get it first (hf download ${name} --local-dir DIR) `
    + "and give DIR";
}

function ofFile(path: string): string {
  if (extname(path) === ".gguf") return "a GGUF file is not read; give the Hugging Face directory it was made from";
  return "it is a file; give the directory of a Hugging Face model, with its config.json, or a llama2.c .bin file";
}

/** The only model below a directory: in a subfolder of it, or of `snapshots`, as the hub's cache has them. */
async function modelBelow(directory: string): Promise<string | undefined> {
  const inside = async (folder: string) => (await readdir(folder).catch(() => [])).map((name) => join(folder, name));
  const folders = [...await inside(directory), ...await inside(join(directory, "snapshots"))];
  const isModel = await Promise.all(folders.map((folder) => exists(join(folder, "config.json"))));
  const models = folders.filter((_, index) => isModel[index]);
  return models.length === 1 ? models[0] : undefined;
}

async function ofDirectory(directory: string): Promise<string> {
  if (await exists(join(directory, "adapter_config.json"))) {
    return "it is an adapter, not a whole model; merge it into its base model first (selfrefine merge)";
  }
  if (await exists(join(directory, "stages"))) return `it is a run; its models are ${join(directory, "stages", "*", "model")}`;
  const below = await modelBelow(directory);
  if (below !== undefined) return `no config.json is in it; did you mean ${below}?`;
  return "no config.json is in it; give the directory of a Hugging Face model, as transformers' save_pretrained writes it";
}

/** Where no model was found. @throws ERR_CHECKPOINT with the remedy; ERR_IO if nothing is there */
export async function noModel(path: string): Promise<never> {
  const found = await stat(path).catch(() => undefined);
  const why = found?.isDirectory() ? await ofDirectory(path)
    : found || extname(path) === ".gguf" ? ofFile(path) : `there is no such directory; check the path${await ofHub(path)}`;
  return fail(found ? "ERR_CHECKPOINT" : "ERR_IO", `${path} is no model: ${why}`, { path });
}
