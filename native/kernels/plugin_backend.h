// Backends that live in a library of their own beside the addon, loaded when first asked for.
#pragma once

#include <memory>
#include <string>

#include "backend.h"

namespace selfrefine {

/// True if the library of this backend lies beside the addon and belongs to its build. Makes no backend.
bool has_plugin(const std::string& name);

/// Throws ERR_UNSUPPORTED where the library is missing or does not load, with the loader's reason.
std::unique_ptr<Backend> make_plugin_backend(const BackendOptions& options);

}  // namespace selfrefine
