// Streams. A GPU does what it was given some time between then and the moment when the host has waited for it; here it
// is done as late as that allows: a host that writes too early what kernels read, or reads too early what they write,
// gets wrong numbers every time. While a stream is captured, what it is given is kept, with copies of the arguments as
// they are then, and done each time the graph is launched. What a GPU refuses then is refused here too.
#pragma once

#include <functional>

#include "cuda/sim/host.h"

namespace cudasim {

/// Gives the stream work, or the graph if it is being captured. Without a stream it is done at once, and may throw.
void submit(cudaStream_t stream, std::function<void()> work);
bool is_capturing(cudaStream_t stream);

/// Does all that any stream was given. What goes wrong is told to who waits for that stream.
void finish_all();
/// What went wrong when this thread was last told cudaErrorLaunchFailure.
const char* last_failure();

/// cudaErrorStreamCaptureUnsupported while this thread captures any stream: waiting, allocating and freeing are not
/// allowed then, and spoil the capture.
cudaError_t expect_no_capture();

}  // namespace cudasim
