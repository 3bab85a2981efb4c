// What the three wrapped classes have in common: a shared engine object, the lock of its model, views of its memory,
// memory() and dispose(). After dispose() the engine object is gone and calls say ERR_DISPOSED; views that JavaScript
// still holds keep their arena.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "async.h"
#include "convert.h"
#include "guarded.h"
#include "napi_setup.h"

namespace selfrefine {

/// The classes of one environment; every worker thread has its own.
struct AddonData {
  Napi::FunctionReference model;
};

template <typename Derived, typename Engine>
class Wrapped : public Napi::ObjectWrap<Derived> {
 public:
  using Napi::ObjectWrap<Derived>::ObjectWrap;

  /// The engine object; throws ERR_DISPOSED.
  const std::shared_ptr<Engine>& engine(const char* what) const {
    if (!engine_) fail(ErrorCode::disposed, what, ": the object was disposed; make a new one");
    return engine_;
  }
  const std::shared_ptr<WorkLock>& lock() const { return lock_; }

  void Finalize(Napi::Env env) override { drop(env); }

 protected:
  void hold(Napi::Env env, std::shared_ptr<Engine> engine, std::shared_ptr<WorkLock> lock) {
    engine_ = std::move(engine);
    lock_ = std::move(lock);
    for (const MemoryRow& row : engine_->memory()) bytes_ += row.bytes;
    Napi::MemoryManagement::AdjustExternalMemory(env, bytes_);
  }

  /// The engine object for a call that works at once on this thread: not while other work runs on its model. Ask for
  /// it after the arguments are converted: reading them may run JavaScript, and that may dispose of this object.
  std::shared_ptr<Engine> idle_engine(const char* what) const {
    std::shared_ptr<Engine> idle = engine(what);
    lock_->expect_free(what);
    return idle;
  }

  /// An ArrayBuffer over memory of `owner`, the same one each time.
  Napi::Value view(Napi::Env env, const std::string& name, void* data, int64_t bytes, std::shared_ptr<void> owner) {
    auto found = views_.find(name);
    if (found == views_.end()) {
      const auto size = static_cast<size_t>(bytes);
      auto* keep = new std::shared_ptr<void>(std::move(owner));
      const auto release = [](Napi::Env, void*, std::shared_ptr<void>* kept) { delete kept; };
      // V8 wants distinct memory for distinct buffers, and an empty one shares its address with its neighbour.
      Napi::ArrayBuffer buffer = size == 0 ? Napi::ArrayBuffer::New(env, 0)
                                           : Napi::ArrayBuffer::New(env, data, size, release, keep);
      if (size == 0) delete keep;
      found = views_.emplace(name, Napi::Persistent(buffer)).first;
    }
    return found->second.Value();
  }

  Napi::Value memory(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return to_js(info.Env(), engine("memory")->memory()); });
  }

  void dispose(const Napi::CallbackInfo& info) { drop(info.Env()); }

 private:
  void drop(Napi::Env env) {
    if (!engine_) return;
    views_.clear();
    Napi::MemoryManagement::AdjustExternalMemory(env, -std::exchange(bytes_, 0));
    lock_->when_free([engine = std::exchange(engine_, nullptr)]() mutable { engine.reset(); });
  }

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<WorkLock> lock_;
  std::map<std::string, Napi::Reference<Napi::ArrayBuffer>> views_;
  int64_t bytes_ = 0;
};

}  // namespace selfrefine
