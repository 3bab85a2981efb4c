// Ops whose CUDA kernels are still to be written. A family that lands takes its lines out; the file goes with the last.
#include "cuda/cuda_backend.h"

namespace selfrefine {

#define SELFREFINE_UNFINISHED(Op) \
  void CudaBackend::compute(const Op&) { fail(ErrorCode::unsupported, #Op, " has no CUDA kernel yet"); }

SELFREFINE_UNFINISHED(LmHeadForward)
SELFREFINE_UNFINISHED(LmHeadLoss)
SELFREFINE_UNFINISHED(PreferenceLoss)
SELFREFINE_UNFINISHED(KvCacheWrite)
SELFREFINE_UNFINISHED(KvCacheCopyPage)
SELFREFINE_UNFINISHED(AttentionDecode)
SELFREFINE_UNFINISHED(SampleTokens)

}  // namespace selfrefine
