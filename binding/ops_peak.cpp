// The machine's own limits for bench/: the rates every result is divided by.
#include <memory>

#include "cpu/cpu_features.h"
#include "cpu/isa/table.h"
#include "cpu/peak.h"
#include "cpu/thread_pool.h"
#include "guarded.h"
#include "ops.h"

namespace selfrefine {

namespace {

struct Machine {
  explicit Machine(int threads) : pool(threads), meter(isa_kernels(choose_isa()), pool) {}
  ThreadPool pool;
  PeakMeter meter;
};

using Rate = double (*)(Machine&, double);

void add_rate(Napi::Object& object, const char* name, const std::shared_ptr<Machine>& machine, Rate rate) {
  object.Set(name, Napi::Function::New(
                       object.Env(),
                       [machine, rate](const Napi::CallbackInfo& info) -> Napi::Value {
                         return guarded(info.Env(), [&]() -> Napi::Value {
                           if (!info[0].IsNumber()) fail(ErrorCode::invalid_argument, "peak: a number is wanted");
                           return Napi::Number::New(info.Env(), rate(*machine, info[0].ToNumber().DoubleValue()));
                         });
                       },
                       name));
}

}  // namespace

Napi::Value make_peak_meter(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsNumber()) fail(ErrorCode::invalid_argument, "peakMeter: the number of threads is wanted");
    const auto machine = std::make_shared<Machine>(info[0].ToNumber().Int32Value());
    Napi::Object meter = Napi::Object::New(info.Env());
    add_rate(meter, "fmaFlops", machine, [](Machine& m, double seconds) { return m.meter.fma_flops(seconds); });
    add_rate(meter, "bf16Flops", machine, [](Machine& m, double seconds) { return m.meter.bf16_flops(seconds); });
    add_rate(meter, "readBandwidth", machine,
             [](Machine& m, double bytes) { return m.meter.read_bandwidth(static_cast<int64_t>(bytes)); });
    add_rate(meter, "copyBandwidth", machine,
             [](Machine& m, double bytes) { return m.meter.copy_bandwidth(static_cast<int64_t>(bytes)); });
    return meter;
  });
}

}  // namespace selfrefine
