// Streams and their capture: while a stream is captured, what it is given is kept, with copies of the arguments as they
// are then, and done each time the graph is launched. What a GPU refuses during a capture is refused here too.
#pragma once

#include <functional>

#include "cuda/sim/host.h"

namespace cudasim {

/// Does it now, or keeps it for the graph if the stream is being captured.
void submit(cudaStream_t stream, std::function<void()> work);
bool is_capturing(cudaStream_t stream);

/// cudaErrorStreamCaptureUnsupported while this thread captures any stream: waiting, allocating and freeing are not
/// allowed then, and spoil the capture.
cudaError_t expect_no_capture();

}  // namespace cudasim
