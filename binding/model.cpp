// NativeModel of src/native.ts over engine/model.h.
#include "classes.h"

namespace selfrefine {

Napi::Value devices(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return to_js(info.Env(), list_devices()); });
}

Napi::Value auto_device(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return to_js(info.Env(), choose_device()); });
}

Napi::Function ModelObject::define(Napi::Env env) {
  return DefineClass(env, "Model",
                     {InstanceMethod<&ModelObject::parameters>("parameters"),
                      InstanceMethod<&ModelObject::adapter_parameters>("adapterParameters"),
                      InstanceMethod<&ModelObject::description>("description"),
                      InstanceMethod<&ModelObject::parameter_view>("parameterView"),
                      InstanceMethod<&ModelObject::sync>("sync"),
                      InstanceMethod<&ModelObject::initialize>("initialize"),
                      InstanceMethod<&ModelObject::initialize_adapter>("initializeAdapter"),
                      InstanceMethod<&ModelObject::use_adapter>("useAdapter"),
                      InstanceMethod<&ModelObject::merge>("merge"),
                      InstanceMethod<&ModelObject::read>("read"),
                      InstanceMethod<&ModelObject::write>("write"),
                      InstanceMethod<&ModelObject::copy_from>("copyFrom"),
                      InstanceMethod<&ModelObject::fingerprint>("fingerprint"),
                      InstanceMethod<&ModelObject::available_bytes>("availableBytes"),
                      InstanceMethod("memory", &ModelObject::memory),
                      InstanceMethod("dispose", &ModelObject::dispose)});
}

ModelObject::ModelObject(const Napi::CallbackInfo& info) : Wrapped(info) {
  guarded(info.Env(), [&] {
    auto model = std::make_shared<Model>(to_model_config({info[0], "config"}), to_model_options({info[1], "options"}));
    hold(info.Env(), std::move(model), std::make_shared<WorkLock>());
  });
}

ModelObject& ModelObject::from(const Argument& argument) {
  const Napi::Env env = argument.value.Env();
  const bool is_model = argument.value.IsObject() &&
                        argument.value.As<Napi::Object>().InstanceOf(env.GetInstanceData<AddonData>()->model.Value());
  if (!is_model) argument.reject("a Model of this addon");
  return *Unwrap(argument.value.As<Napi::Object>());
}

namespace {

/// [{ name, shape }] of a table.
Napi::Value list_parameters(Napi::Env env, const FlatTable& table) {
  Napi::Array list = Napi::Array::New(env);
  for (const Parameter& parameter : table.all()) {
    Napi::Array shape = Napi::Array::New(env);
    shape.Set(uint32_t{0}, static_cast<double>(parameter.rows));
    if (parameter.rank == 2) shape.Set(uint32_t{1}, static_cast<double>(parameter.columns));
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", parameter.name);
    object.Set("shape", shape);
    list.Set(list.Length(), object);
  }
  return list;
}

}  // namespace

Napi::Value ModelObject::parameters(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return list_parameters(info.Env(), engine("parameters")->table()); });
}

Napi::Value ModelObject::adapter_parameters(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return list_parameters(info.Env(), engine("adapterParameters")->adapter_table()); });
}

Napi::Value ModelObject::description(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), engine("description")->backend().description());
  });
}

Napi::Value ModelObject::parameter_view(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string name = Argument{info[0], "name"}.text();
    Model& model = *engine("parameterView");
    if (model.copies_views()) lock()->expect_free("parameterView");
    const Parameter& parameter = model.parameter(name);
    HostFloats floats = model.host_view(name);
    return view(info.Env(), name, floats.data, parameter.elements() * size_of(DType::f32), std::move(floats.owner));
  });
}

void ModelObject::sync(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { idle_engine("sync")->sync_views(); });
}

Napi::Value ModelObject::initialize(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "initialize", {lock()}, [&](Locks&) -> Work {
    const uint64_t seed = Argument{info[0], "seed"}.seed();
    const double std = Argument{info[1], "std"}.number();
    return [model = engine("initialize"), seed, std] {
      model->initialize(seed, std);
      return undefined;
    };
  });
}

Napi::Value ModelObject::initialize_adapter(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "initializeAdapter", {lock()}, [&](Locks&) -> Work {
    return [model = engine("initializeAdapter"), seed = Argument{info[0], "seed"}.seed()] {
      model->initialize_adapter(seed);
      return undefined;
    };
  });
}

void ModelObject::use_adapter(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const bool on = Argument{info[0], "on"}.boolean();
    idle_engine("useAdapter")->use_adapter(on);
  });
}

Napi::Value ModelObject::merge(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "merge", {lock()}, [&](Locks&) -> Work {
    return [model = engine("merge")] {
      model->merge();
      return undefined;
    };
  });
}

Napi::Value ModelObject::read(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "read", {lock()}, [&](Locks&) -> Work {
    return [model = engine("read"), path = Argument{info[0], "path"}.text(),
            entries = to_tensor_entries({info[1], "entries"})] {
      model->read(path, entries);
      return undefined;
    };
  });
}

Napi::Value ModelObject::write(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "write", {lock()}, [&](Locks&) -> Work {
    return [model = engine("write"), path = Argument{info[0], "path"}.text(),
            header = Argument{info[1], "header"}.bytes(), entries = to_tensor_entries({info[2], "entries"})] {
      model->write(path, header, entries);
      return undefined;
    };
  });
}

Napi::Value ModelObject::copy_from(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "copyFrom", {lock()}, [&](Locks& locks) -> Work {
    ModelObject& source = from({info[0], "other"});
    if (&source != this) locks.push_back(source.lock());
    return [model = engine("copyFrom"), from = source.engine("copyFrom")] {
      model->copy_from(*from);
      return undefined;
    };
  });
}

Napi::Value ModelObject::fingerprint(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), "fingerprint", {lock()}, [&](Locks&) -> Work {
    return [model = engine("fingerprint")]() -> Finish {
      return [value = model->fingerprint()](Napi::Env env) -> Napi::Value { return Napi::BigInt::New(env, value); };
    };
  });
}

Napi::Value ModelObject::available_bytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int64_t bytes = engine("availableBytes")->backend().available_bytes();
    return Napi::Number::New(info.Env(), static_cast<double>(bytes));
  });
}

}  // namespace selfrefine
