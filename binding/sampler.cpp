// NativeSampler of src/native.ts over engine/sampler.h.
#include "classes.h"

namespace selfrefine {

namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

}  // namespace

Napi::Function SamplerObject::define(Napi::Env env) {
  return DefineClass(env, "Sampler",
                     {InstanceMethod<&SamplerObject::set_token_bytes>("setTokenBytes"),
                      InstanceMethod<&SamplerObject::begin>("begin"),
                      InstanceMethod<&SamplerObject::submit>("submit"),
                      InstanceMethod<&SamplerObject::run>("run"),
                      InstanceMethod<&SamplerObject::end>("end"),
                      InstanceMethod("memory", &SamplerObject::memory),
                      InstanceMethod("dispose", &SamplerObject::dispose)});
}

SamplerObject::SamplerObject(const Napi::CallbackInfo& info) : Wrapped(info) {
  guarded(info.Env(), [&] {
    ModelObject& model = ModelObject::from({info[0], "model"});
    const SamplerCapacity capacity = to_sampler_capacity({info[1], "capacity"});
    hold(info.Env(), std::make_shared<Sampler>(model.engine("new Sampler"), capacity), model.lock());
  });
}

void SamplerObject::set_token_bytes(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    TokenBytes token_bytes{Argument{info[0], "bytes"}.bytes(), Argument{info[1], "offsets"}.int32s()};
    idle_engine("setTokenBytes")->set_token_bytes(std::move(token_bytes));
  });
}

void SamplerObject::begin(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const GenerationOptions options = to_generation_options({info[0], "options"});
    idle_engine("begin")->begin(options);
  });
}

void SamplerObject::submit(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const auto prompt = static_cast<int32_t>(Argument{info[0], "prompt"}.integer(-kMaxInt32 - 1, kMaxInt32));
    const int64_t samples = Argument{info[2], "samples"}.integer(1, kMaxInt32);
    std::vector<int32_t> tokens = Argument{info[1], "tokens"}.int32s();
    idle_engine("submit")->submit(prompt, std::move(tokens), samples);
  });
}

Napi::Value SamplerObject::run(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "run", {lock()}, [&](Locks&) -> Work {
    return [sampler = engine("run"), max_steps = Argument{info[0], "maxSteps"}.integer(1)]() -> Finish {
      auto result = std::make_shared<RunResult>(sampler->run(max_steps));
      return [result](Napi::Env env) { return to_js(env, *result); };
    };
  });
}

void SamplerObject::end(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { idle_engine("end")->end(); });
}

}  // namespace selfrefine
