// How the addon and its CUDA half, a library of its own beside it, find each other: two C functions. Both come from one
// build, so C++ objects may cross; the build's name says whether they do.
#pragma once

#include "backend.h"

namespace selfrefine {

/// Equal in both halves, or the library is not used.
inline constexpr const char* kPluginBuild = "selfrefine-cuda 1 " __VERSION__;

using PluginBuild = const char* (*)();
/// The caller owns the backend. Throws as its constructor does.
using PluginMake = Backend* (*)(const BackendOptions& options);

inline constexpr const char* kPluginBuildSymbol = "selfrefine_plugin_build";
inline constexpr const char* kPluginMakeSymbol = "selfrefine_plugin_make";

}  // namespace selfrefine
