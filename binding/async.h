// The only AsyncWorker: work on a pool thread, a promise, and a lock so that a busy object says ERR_BUSY. A model, its
// trainers and its samplers share one lock, because they share weights and a backend. Nothing that is thrown here can
// leave a callback: at the end of an environment that would end the process.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "napi_setup.h"

namespace selfrefine {

/// Touched on the JavaScript thread alone.
class WorkLock {
 public:
  bool busy() const { return busy_; }
  /// Throws ERR_BUSY, naming what runs.
  void expect_free(const char* what) const;
  void acquire(const char* what);
  /// Also does what was put off.
  void release();
  /// Runs f now, or when the work that is under way has ended.
  void when_free(std::function<void()> f);

 private:
  bool busy_ = false;
  std::string holder_;
  std::vector<std::function<void()>> put_off_;
};

/// Makes the value of the promise, on the JavaScript thread.
using Finish = std::function<Napi::Value(Napi::Env env)>;
/// Runs on a pool thread: no JavaScript there.
using Work = std::function<Finish()>;

using Locks = std::vector<std::shared_ptr<WorkLock>>;

/// Calls prepare() at once, if the locks are free, to check arguments; then runs the work it returns with the locks
/// held. All errors, those of prepare() too, reject the promise. The work owns what it needs: the JavaScript object may
/// be disposed meanwhile. prepare() may add locks.
Napi::Value run_async(Napi::Env env, const char* what, Locks locks, const std::function<Work(Locks&)>& prepare);

/// For work with no result.
inline Napi::Value undefined(Napi::Env env) { return env.Undefined(); }

}  // namespace selfrefine
