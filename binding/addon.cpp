// The list of exports, nothing else.
#include "napi_setup.h"
#include "ops.h"

namespace {

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("ops", selfrefine::make_ops(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(selfrefine, initialize)
