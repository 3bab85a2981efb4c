// C++ exceptions to JavaScript errors with a `code`, so that nothing thrown in the engine can end the process.
#pragma once

#include <new>

#include "core/error.h"
#include "napi_setup.h"

namespace selfrefine {

inline Napi::Error to_napi_error(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

/// Runs f; what it throws reaches JavaScript as an Error with `code`. JavaScript's own exceptions pass unchanged.
template <typename F>
auto guarded(Napi::Env env, F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const Napi::Error&) {
    throw;
  } catch (const Error& error) {
    throw to_napi_error(env, code_name(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    throw to_napi_error(env, "ERR_OUT_OF_MEMORY", "out of memory");
  } catch (const std::exception& error) {
    throw to_napi_error(env, "ERR_INTERNAL", error.what());
  }
}

}  // namespace selfrefine
