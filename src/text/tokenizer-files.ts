// What the tokenizer files of a Hugging Face directory say, in one typed record.
// The ids of the special tokens are scattered over four files which may disagree; the order in which they are asked
// stands here and nowhere else. It does NOT encode or decode anything.
import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import { noModel } from "../checkpoint/where";
import { fail } from "../errors";
import { readJson, readText } from "../files";

export type JsonObject = Readonly<Record<string, unknown>>;

/** Everything a Tokenizer is made from. `tokenizer` is tokenizer.json, the rest may be empty objects. */
export interface TokenizerSource {
  readonly tokenizer: JsonObject;
  readonly tokenizerConfig: JsonObject;
  readonly generationConfig: JsonObject;
  readonly modelConfig: JsonObject;
  /** Jinja source; a file of its own wins over the key in tokenizer_config.json, as in transformers. */
  readonly chatTemplate: string | null;
}

/** Files that make up a tokenizer on disk. Copied byte for byte by `Tokenizer.save`. */
export const TOKENIZER_FILES = [
  "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
  "tokenizer.model", "vocab.json", "merges.txt",
] as const;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function readObject(path: string): Promise<JsonObject> {
  const value = await readJson(path);
  return isObject(value) ? value : fail("ERR_DATA", `${path}: a JSON object was expected`, { path });
}

export async function fileExists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}

async function readOptional(path: string): Promise<JsonObject> {
  return (await fileExists(path)) ? readObject(path) : {};
}

/** The chat template that stands in tokenizer_config.json. */
export function templateIn(config: JsonObject): string | null {
  const value = config.chat_template;
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return null;
  // Several named templates: "default" is the one for plain chats.
  const named = value.filter(isObject).find((entry) => entry.name === "default");
  return typeof named?.template === "string" ? named.template : null;
}

/** Reads a directory. @throws ERR_CHECKPOINT without tokenizer.json, ERR_DATA when a file is not what it should be. */
export async function readTokenizerSource(directory: string): Promise<TokenizerSource> {
  const path = join(directory, "tokenizer.json");
  if (!(await fileExists(path))) {
    const names = await readdir(directory).catch(() => noModel(directory));
    const other = names.find((name) => /^(tokenizer\.model|tok.*\.bin)$/.test(name));
    fail("ERR_CHECKPOINT", `cannot read ${path}: no such file; ${other === undefined
      ? "a folder with a tokenizer.json is wanted"
      : `give as \`tokenizer\` the file that is there, ${join(directory, other)}`}`, { path });
  }
  const tokenizerConfig = await readOptional(join(directory, "tokenizer_config.json"));
  const templatePath = join(directory, "chat_template.jinja");
  return {
    tokenizer: await readObject(path),
    tokenizerConfig,
    generationConfig: await readOptional(join(directory, "generation_config.json")),
    modelConfig: await readOptional(join(directory, "config.json")),
    chatTemplate: (await fileExists(templatePath)) ? await readText(templatePath) : templateIn(tokenizerConfig),
  };
}

/** The text of a special token of tokenizer_config.json, given as a string or as an AddedToken object. */
export function specialTokenText(config: JsonObject, key: string): string | null {
  const value = config[key];
  if (typeof value === "string") return value;
  return isObject(value) && typeof value.content === "string" ? value.content : null;
}

/** Numeric ids under `key` of generation_config.json and config.json: a number, a list or nothing. */
export function configuredIds(source: TokenizerSource, key: string): number[] {
  const listed = [source.generationConfig, source.modelConfig].flatMap((config) => config[key] ?? []);
  return listed.filter((id): id is number => Number.isInteger(id) && (id as number) >= 0);
}
