// How the addon and its CUDA half, a library of its own beside it, find each other: two C functions. C++ objects cross,
// so both must come from one compiler and the same headers, which the build's name tells.
#pragma once

#include "backend.h"

namespace selfrefine {

#ifdef SELFREFINE_PLUGIN_BUILD  // a hash of the headers, for the two sources that compare it
/// Equal in both halves, or the library is not used.
inline constexpr const char* kPluginBuild = SELFREFINE_PLUGIN_BUILD " " __VERSION__;
#endif

using PluginBuild = const char* (*)();
/// The caller owns the backend. Throws as its constructor does.
using PluginMake = Backend* (*)(const BackendOptions& options);

inline constexpr const char* kPluginBuildSymbol = "selfrefine_plugin_build";
inline constexpr const char* kPluginMakeSymbol = "selfrefine_plugin_make";

}  // namespace selfrefine
