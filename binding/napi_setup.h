// The only include of <napi.h>. NAPI_VERSION, C++ exceptions and the rest are set by CMakeLists.txt, for all files
// alike.
#pragma once

#include <napi.h>
