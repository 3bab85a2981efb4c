// plan() and availableBytes() of src/native.ts over engine/plan.h.
#include "classes.h"

namespace selfrefine {

Napi::Value plan(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return to_js(info.Env(), plan_memory(to_model_config({info[0], "config"}), to_model_options({info[1], "options"}),
                                         to_planned_work({info[2], "work"})));
  });
}

Napi::Value available_bytes_of(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string device = Argument{info[0], "device"}.text();
    return Napi::Number::New(info.Env(), static_cast<double>(available_bytes(device)));
  });
}

}  // namespace selfrefine
