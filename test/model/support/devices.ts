// The devices the model tests run on. One that this build lacks makes its tests fail: both belong to every build.
import {
  nativeAddon, type Device, type DType, type LoraConfig, type ModelConfig, type NativeModel,
} from "../../../src/native";

export const devices: readonly Device[] = ["reference", "cpu"];

export interface ModelSetup {
  dtype?: DType;
  threads?: number;
  masters?: boolean;
  lora?: LoraConfig | null;
}

/** A model with zero weights. */
export function makeModel(config: ModelConfig, device: Device, setup: ModelSetup = {}): NativeModel {
  const { dtype = "float32", threads = 2, masters = true, lora = null } = setup;
  const options = { device, dtype, threads: device === "cpu" ? threads : 0, masters, lora };
  return new (nativeAddon().Model)(config, options);
}

/** A small model with every part that can be switched on, for tests that need no golden tensor. */
export const smallConfig: ModelConfig = {
  vocabSize: 61,
  hiddenSize: 32,
  intermediateSize: 40,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 8,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  ropeScaling: null,
  ropeInterleaved: false,
  tieWordEmbeddings: true,
  attentionBias: true,
  qkNorm: true,
  slidingWindow: null,
  maxPositionEmbeddings: 256,
  bosTokenId: 1,
  eosTokenIds: [2],
};

/** Random weights large enough that distributions are far from uniform. */
export async function randomModel(device: Device, setup: ModelSetup = {}, config = smallConfig): Promise<NativeModel> {
  const model = makeModel(config, device, setup);
  await model.initialize(7, 0.25);
  return model;
}
