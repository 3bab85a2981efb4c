// Names of the error codes, as JavaScript sees them.
#include "core/error.h"

namespace selfrefine {

const char* code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "ERR_INVALID_ARGUMENT";
    case ErrorCode::shape: return "ERR_SHAPE";
    case ErrorCode::out_of_memory: return "ERR_OUT_OF_MEMORY";
    case ErrorCode::io: return "ERR_IO";
    case ErrorCode::unsupported: return "ERR_UNSUPPORTED";
    case ErrorCode::busy: return "ERR_BUSY";
    case ErrorCode::disposed: return "ERR_DISPOSED";
    case ErrorCode::aborted: return "ERR_ABORTED";
    case ErrorCode::cuda: return "ERR_CUDA";
    case ErrorCode::internal: return "ERR_INTERNAL";
  }
  return "ERR_INTERNAL";
}

}  // namespace selfrefine
