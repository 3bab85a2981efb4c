// Every op of every backend, for test/ and bench/ alone: the product goes through the engine.
#pragma once

#include "napi_setup.h"

namespace selfrefine {

/// { names, backends(), cpuIsas(), create({ name, threads, isa, cublaslt, cublasltChoices, compute }),
/// philox(counter, key) }; see ops.cpp.
Napi::Object make_ops(Napi::Env env);

/// peakMeter(threads) -> { fmaFlops(seconds), bf16Flops(seconds), readBandwidth(bytes), copyBandwidth(bytes) }: rates a
/// second over all threads; see cpu/peak.h.
Napi::Value make_peak_meter(const Napi::CallbackInfo& info);

/// deviceMeter(name) -> { description, gemmFlops(dtype, size, seconds), copyBandwidth(bytes) }: the same of a backend;
/// see ops_device.cpp.
Napi::Value make_device_meter(const Napi::CallbackInfo& info);

}  // namespace selfrefine
