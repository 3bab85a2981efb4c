// Promises over libuv's pool.
#include "async.h"

#include <optional>
#include <utility>

#include "core/error.h"
#include "guarded.h"

namespace selfrefine {

void WorkLock::expect_free(const char* what) const {
  if (busy_) {
    fail(ErrorCode::busy, what, ": ", holder_, " is still running on this model; await it first (a model, its "
         "trainers and its samplers do one thing at a time)");
  }
}

void WorkLock::acquire(const char* what) {
  expect_free(what);
  busy_ = true;
  holder_ = what;
}

void WorkLock::release() {
  busy_ = false;
  for (const auto& f : std::exchange(put_off_, {})) f();
}

void WorkLock::when_free(std::function<void()> f) {
  if (busy_) {
    put_off_.push_back(std::move(f));
  } else {
    f();
  }
}

namespace {

struct Failure {
  std::string code, message;
};

/// What the exception in flight says.
Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {code_name(error.code()), error.what()};
  } catch (const std::bad_alloc&) {
    return {"ERR_OUT_OF_MEMORY", "out of memory"};
  } catch (const std::exception& error) {
    return {"ERR_INTERNAL", error.what()};
  } catch (...) {
    return {"ERR_INTERNAL", "unknown error"};
  }
}

class Task final : public Napi::AsyncWorker {
 public:
  Task(Napi::Env env, const char* what, Locks locks, Work work)
      : AsyncWorker(env, what), deferred_(env), locks_(std::move(locks)), work_(std::move(work)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      finish_ = work_();
    } catch (...) {
      failure_ = current_failure();
    }
  }

  // Locks first: who awaits the promise may call again. The environment may be ending, then every call into
  // JavaScript throws, and the promise has nobody left who waits for it.
  void OnOK() override {
    settle();
    try {
      const Napi::HandleScope scope(Env());
      if (failure_) {
        deferred_.Reject(to_napi_error(Env(), failure_->code.c_str(), failure_->message).Value());
      } else {
        deferred_.Resolve(finish_(Env()));
      }
    } catch (const Napi::Error& error) {
      try {
        deferred_.Reject(error.Value());
      } catch (const Napi::Error&) {
      }
    } catch (const std::exception&) {
    }
  }

  void OnError(const Napi::Error&) override { settle(); }

 private:
  void settle() {
    work_ = nullptr;  // what it kept alive goes before the put-off disposals
    for (const auto& lock : std::exchange(locks_, {})) lock->release();
  }

  Napi::Promise::Deferred deferred_;
  Locks locks_;
  Work work_;
  Finish finish_;
  std::optional<Failure> failure_;
};

Napi::Value rejected(Napi::Env env, const Napi::Error& error) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Reject(error.Value());
  return deferred.Promise();
}

}  // namespace

Napi::Value run_async(Napi::Env env, const char* what, Locks locks, const std::function<Work(Locks&)>& prepare) {
  try {
    return guarded(env, [&]() -> Napi::Value {
      for (const auto& lock : locks) lock->expect_free(what);
      Work work = prepare(locks);
      for (const auto& lock : locks) lock->expect_free(what);
      auto* task = new Task(env, what, locks, std::move(work));
      const Napi::Promise promise = task->promise();
      for (const auto& lock : locks) lock->acquire(what);
      task->Queue();
      return promise;
    });
  } catch (const Napi::Error& error) {
    return rejected(env, error);
  }
}

}  // namespace selfrefine
