// Text to ids and back, as the checkpoint's own tokenizer.json says, over @huggingface/tokenizers.
// Adds what training needs and that library lacks: which ids begin and end a sequence, encoding of a text that
// continues another one, the exact bytes of each token, a fingerprint. Prompts and templates are NOT known here.
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { fail, messageOf } from "../errors";
import { expectPath, hashJson, ioError, makeDirectory, stableJson, writeFileAtomic } from "../files";
import { TokenizerEngine as Engine } from "./libraries";
import { layOut, type TokenBytes, tokenByteRule } from "./token-bytes";
import {
  configuredIds, fileExists, isObject, type JsonObject, readTokenizerSource, specialTokenText, templateIn,
  TOKENIZER_FILES, type TokenizerSource,
} from "./tokenizer-files";
import { WordEncoder } from "./words";

function buildEngine(tokenizer: JsonObject, config: JsonObject, name: string): Engine {
  try {
    return new Engine(tokenizer, config);
  } catch (error) {
    return fail("ERR_UNSUPPORTED", `${name}: cannot build the tokenizer: ${messageOf(error)}`, { path: name }, error);
  }
}

/** The same component without what it puts before a text: SentencePiece's dummy space, GPT-2's prefix space. */
function withoutPrefix(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.filter((item) => !isObject(item) || item.type !== "Prepend").map(withoutPrefix);
  }
  if (!isObject(value)) return value;
  if (value.type === "Prepend") return null;
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) result[key] = withoutPrefix(item);
  if ("add_prefix_space" in result) result.add_prefix_space = false;
  if (value.type === "Metaspace") result.prepend_scheme = "never";
  return result;
}

export class Tokenizer {
  /** Id a sequence begins with; null when the vocabulary has none. */
  readonly bosId: number | null;
  /** Id that ends a completion; null when the vocabulary has none. */
  readonly eosId: number | null;
  /** All ids at which generation stops: eosId and those of generation_config.json. */
  readonly eosIds: readonly number[];
  readonly padId: number | null;
  /** Whether sequences of this model begin with bosId: Qwen names a BOS token in its config and never uses it. */
  readonly addsBos: boolean;
  /** Largest id + 1. A model's vocab_size may be larger (padded), never smaller. */
  readonly vocabSize: number;
  readonly chatTemplate: string | null;
  /** Hash of all that decides ids: equal fingerprints, equal encodings. */
  readonly fingerprint: string;

  private readonly engine: Engine;
  private readonly specialIds: ReadonlySet<number>;
  private readonly words: WordEncoder | null;
  private continuation: Engine | undefined;
  private pieces: (Uint8Array | undefined)[] | undefined;

  constructor(readonly source: TokenizerSource, readonly directory: string | null = null) {
    this.engine = buildEngine(source.tokenizer, source.tokenizerConfig, this.name);
    const plain = { add_special_tokens: false };
    this.words = WordEncoder.create(source.tokenizer, (word) => this.engine.encode(word, plain).ids);
    const added = [...this.engine.get_added_tokens_decoder().values()];
    this.specialIds = new Set(added.filter((token) => token.special).map((token) => token.id));
    this.vocabSize = (this.engine.model?.vocab.length ?? 0);
    this.bosId = this.specialId("bos");
    this.eosId = this.specialId("eos");
    this.padId = this.specialId("pad");
    const stops = [...(this.eosId === null ? [] : [this.eosId]), ...configuredIds(source, "eos_token_id")];
    this.eosIds = [...new Set(stops)];
    this.addsBos = this.bosId !== null && this.decideBos();
    this.chatTemplate = source.chatTemplate;
    this.fingerprint = hashJson([source.tokenizer, this.bosId, this.eosId, this.addsBos]);
  }

  /** Reads tokenizer.json and its neighbours. @throws ERR_IO, _CHECKPOINT, _DATA, _UNSUPPORTED naming the file. */
  static async load(directory: string): Promise<Tokenizer> {
    expectPath(directory, "Tokenizer.load: directory", "the directory of a tokenizer.json");
    return new Tokenizer(await readTokenizerSource(directory), directory);
  }

  /** From parsed files, for a tokenizer that was just trained or converted. */
  static fromJson(tokenizer: JsonObject, tokenizerConfig: JsonObject = {}): Tokenizer {
    const chatTemplate = templateIn(tokenizerConfig);
    return new Tokenizer({ tokenizer, tokenizerConfig, generationConfig: {}, modelConfig: {}, chatTemplate });
  }

  private get name(): string {
    return this.directory === null ? "tokenizer.json" : join(this.directory, "tokenizer.json");
  }

  private specialId(role: "bos" | "eos" | "pad"): number | null {
    const text = specialTokenText(this.source.tokenizerConfig, `${role}_token`);
    if (text === null) return configuredIds(this.source, `${role}_token_id`)[0] ?? null;
    return this.engine.token_to_id(text)
      ?? fail("ERR_DATA", `${this.name}: ${role}_token ${JSON.stringify(text)} is not in the vocabulary`);
  }

  private decideBos(): boolean {
    const said = this.source.tokenizerConfig.add_bos_token;
    return typeof said === "boolean" ? said : this.engine.encode("a").ids[0] === this.bosId;
  }

  /**
   * Ids of a text that stands at the start of a sequence. Special tokens written in the text become their ids.
   * `addSpecialTokens` (default false) applies the tokenizer's own template: usually BOS in front.
   */
  encode(text: string, options: { addSpecialTokens?: boolean } = {}): number[] {
    const special = options.addSpecialTokens ?? false;
    if (this.words && !special) return this.words.encode(text);
    return this.engine.encode(text, { add_special_tokens: special }).ids;
  }

  /** Ids of a text that follows another one: no dummy space is put before it, so nothing is added to the text. */
  encodeContinuation(text: string): number[] {
    if (this.words) return this.words.encode(text); // no prefix is put before words
    this.continuation ??= this.buildContinuation();
    return this.continuation.encode(text, { add_special_tokens: false }).ids;
  }

  private buildContinuation(): Engine {
    const { normalizer, pre_tokenizer: preTokenizer } = this.source.tokenizer;
    const plain = { ...this.source.tokenizer, normalizer: withoutPrefix(normalizer),
      pre_tokenizer: withoutPrefix(preTokenizer) };
    const same = stableJson(plain) === stableJson(this.source.tokenizer);
    return same ? this.engine : buildEngine(plain, this.source.tokenizerConfig, this.name);
  }

  /** The text of a whole sequence. Ids outside the vocabulary (a padded model's) have no text. */
  decode(ids: ArrayLike<number>, options: { skipSpecialTokens?: boolean } = {}): string {
    const skip = options.skipSpecialTokens ?? true;
    const shown = Array.from(ids).filter((id) => this.isToken(id) && !(skip && this.specialIds.has(id)));
    if (shown.length === 0) return "";
    const cleanUp = this.source.tokenizerConfig.clean_up_tokenization_spaces === true;
    return this.engine.decode(shown, { skip_special_tokens: false, clean_up_tokenization_spaces: cleanUp });
  }

  /** The text of ids that continue a sequence: their bytes, nothing stripped. Special tokens have no text. */
  decodeContinuation(ids: ArrayLike<number>): string {
    const pieces = this.tokenPieces();
    const parts = Array.from(ids, (id) => pieces[id]).filter((piece) => piece !== undefined);
    return Buffer.concat(parts).toString("utf8");
  }

  private isToken(id: number): boolean {
    return this.engine.id_to_token(id) !== undefined;
  }

  /** The token's string as the vocabulary holds it, for messages. */
  tokenText(id: number): string {
    return this.engine.id_to_token(id) ?? `<id ${id}>`;
  }

  tokenId(token: string): number | null {
    return this.engine.token_to_id(token) ?? null;
  }

  private tokenPieces(): (Uint8Array | undefined)[] {
    if (this.pieces) return this.pieces;
    const rule = tokenByteRule(this.source.tokenizer);
    const added = this.engine.get_added_tokens_decoder();
    const utf8 = new TextEncoder();
    this.pieces = Array.from({ length: this.vocabSize }, (_, id) => {
      const token = this.engine.id_to_token(id);
      if (token === undefined || this.specialIds.has(id)) return undefined;
      return added.has(id) ? utf8.encode(token) : rule(token);
    });
    return this.pieces;
  }

  /**
   * Bytes of every id in [0, vocabSize): special tokens and holes have none. `vocabSize` may be the model's.
   * @throws ERR_UNSUPPORTED for a decoder whose tokens have no bytes of their own (WordPiece, CTC).
   */
  tokenBytes(vocabSize = this.vocabSize): TokenBytes {
    const pieces = this.tokenPieces();
    return layOut(Array.from({ length: vocabSize }, (_, id) => pieces[id]));
  }

  /**
   * Writes the tokenizer's files into an existing or new directory: byte for byte the ones it was loaded from, or from
   * memory where there were none or they are gone.
   * @throws ERR_IO
   */
  async save(directory: string): Promise<void> {
    try {
      await makeDirectory(directory);
      const from = this.directory;
      if (from !== null && (await fileExists(join(from, "tokenizer.json")))) await this.copyFiles(from, directory);
      else await this.writeFiles(directory);
    } catch (error) {
      throw ioError(error, "write", directory);
    }
  }

  private async copyFiles(from: string, to: string): Promise<void> {
    for (const name of TOKENIZER_FILES) {
      if (await fileExists(join(from, name))) await copyFile(join(from, name), join(to, name));
    }
  }

  private async writeFiles(to: string): Promise<void> {
    const pretty = (value: JsonObject) => `${JSON.stringify(value, null, 2)}\n`;
    await writeFileAtomic(join(to, "tokenizer.json"), pretty(this.source.tokenizer));
    await writeFileAtomic(join(to, "tokenizer_config.json"), pretty(this.source.tokenizerConfig));
    if (this.chatTemplate !== null) await writeFileAtomic(join(to, "chat_template.jinja"), this.chatTemplate);
  }
}
