// NativeTrainer of src/native.ts over engine/trainer.h.
#include "classes.h"

namespace selfrefine {

Napi::Function TrainerObject::define(Napi::Env env) {
  return DefineClass(env, "Trainer",
                     {InstanceMethod<&TrainerObject::buffers>("buffers"),
                      InstanceMethod<&TrainerObject::logps>("logps"),
                      InstanceMethod<&TrainerObject::sft_step>("sftStep"),
                      InstanceMethod<&TrainerObject::dpo_step>("dpoStep"),
                      InstanceMethod<&TrainerObject::update>("update"),
                      InstanceMethod<&TrainerObject::gradient_view>("gradientView"),
                      InstanceMethod<&TrainerObject::reset>("reset"),
                      InstanceMethod<&TrainerObject::write_state>("writeState"),
                      InstanceMethod<&TrainerObject::read_state>("readState"),
                      InstanceMethod<&TrainerObject::state_arenas>("stateArenas"),
                      InstanceMethod("memory", &TrainerObject::memory),
                      InstanceMethod("dispose", &TrainerObject::dispose)});
}

TrainerObject::TrainerObject(const Napi::CallbackInfo& info) : Wrapped(info) {
  guarded(info.Env(), [&] {
    ModelObject& model = ModelObject::from({info[0], "model"});
    const TrainerCapacity capacity = to_trainer_capacity({info[1], "capacity"});
    hold(info.Env(), std::make_shared<Trainer>(model.engine("new Trainer"), capacity), model.lock());
  });
}

Napi::Value TrainerObject::buffers(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Trainer& trainer = *engine("buffers");
    const BatchInputs& in = trainer.batch().inputs();
    const BatchOutputs& out = trainer.batch().outputs();
    const std::pair<const char*, Tensor> named[] = {
        {"tokens", in.tokens}, {"positions", in.positions}, {"targets", in.targets}, {"weights", in.weights},
        {"segments", in.segments}, {"sequenceOfRow", in.sequence_of_row}, {"referenceLogps", in.reference_logps},
        {"logps", out.logps}, {"sequenceLogps", out.sequence_logps}, {"pairLosses", out.pair_losses}};
    Napi::Object object = Napi::Object::New(info.Env());
    for (const auto& [name, tensor] : named) {
      object.Set(name, view(info.Env(), name, tensor.data, tensor.bytes(), trainer.batch().arena().share()));
    }
    return object;
  });
}

namespace {

Finish object_with(const char* field, double value) {
  return [field, value](Napi::Env env) -> Napi::Value {
    Napi::Object object = Napi::Object::New(env);
    object.Set(field, value);
    return object;
  };
}

Napi::Object to_object(Napi::Env env, const TokenSums& sums) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("tokens", static_cast<double>(sums.tokens));
  object.Set("entropy", sums.entropy);
  object.Set("correct", sums.correct);
  object.Set("meanLogits", sums.mean_logits);
  return object;
}

/// A step's loss, and sums under their names.
Finish step_result(double loss, std::vector<std::pair<const char*, TokenSums>> named) {
  return [loss, named = std::move(named)](Napi::Env env) -> Napi::Value {
    Napi::Object object = Napi::Object::New(env);
    object.Set("loss", loss);
    for (const auto& [name, sums] : named) object.Set(name, to_object(env, sums));
    return object;
  };
}

}  // namespace

std::shared_ptr<Trainer> TrainerObject::staged(const char* what, const BatchSize& size) const {
  std::shared_ptr<Trainer> trainer = idle_engine(what);
  trainer->batch().stage(size);
  return trainer;
}

Napi::Value TrainerObject::logps(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "logps", {lock()}, [&](Locks&) -> Work {
    const BatchSize size = to_batch_size({info[0], "size"});
    return [trainer = staged("logps", size)] {
      trainer->logps();
      return undefined;
    };
  });
}

Napi::Value TrainerObject::sft_step(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "sftStep", {lock()}, [&](Locks&) -> Work {
    const BatchSize size = to_batch_size({info[0], "size"});
    return [trainer = staged("sftStep", size)] {
      const SftResult result = trainer->sft_step();
      return step_result(result.loss, {{"scored", result.scored}});
    };
  });
}

Napi::Value TrainerObject::dpo_step(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "dpoStep", {lock()}, [&](Locks&) -> Work {
    const BatchSize size = to_batch_size({info[0], "size"});
    const PreferenceOptions options = to_preference_options({info[1], "options"});
    return [trainer = staged("dpoStep", size), options] {
      const DpoResult result = trainer->dpo_step(options);
      return step_result(result.loss, {{"chosen", result.chosen}, {"rejected", result.rejected}});
    };
  });
}

Napi::Value TrainerObject::update(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "update", {lock()}, [&](Locks&) -> Work {
    return [trainer = engine("update"), options = to_update_options({info[0], "options"})] {
      return object_with("gradNorm", trainer->optimizer().update(options));
    };
  });
}

Napi::Value TrainerObject::gradient_view(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string name = Argument{info[0], "name"}.text();
    Trainer& trainer = *engine("gradientView");
    if (!trainer.model().backend().host_memory()) lock()->expect_free("gradientView");
    const Parameter& parameter = trainer.model().trained().table().at(name);
    HostFloats floats = trainer.optimizer().host_view(parameter);
    return view(info.Env(), name, floats.data, parameter.elements() * size_of(DType::f32), std::move(floats.owner));
  });
}

Napi::Value TrainerObject::reset(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "reset", {lock()}, [&](Locks&) -> Work {
    return [trainer = engine("reset")] {
      trainer->optimizer().reset();
      return undefined;
    };
  });
}

Napi::Value TrainerObject::write_state(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "writeState", {lock()}, [&](Locks&) -> Work {
    return [trainer = engine("writeState"), path = Argument{info[0], "path"}.text(),
            header = Argument{info[1], "header"}.bytes()] {
      trainer->optimizer().write_state(path, header);
      return undefined;
    };
  });
}

Napi::Value TrainerObject::read_state(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "readState", {lock()}, [&](Locks&) -> Work {
    return [trainer = engine("readState"), path = Argument{info[0], "path"}.text(),
            file_offset = Argument{info[1], "fileOffset"}.integer(0)] {
      trainer->optimizer().read_state(path, file_offset);
      return undefined;
    };
  });
}

Napi::Value TrainerObject::state_arenas(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Optimizer& optimizer = engine("stateArenas")->optimizer();
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("dtype", name_of(optimizer.state_dtype()));
    object.Set("elements", static_cast<double>(optimizer.elements()));
    return object;
  });
}

}  // namespace selfrefine
