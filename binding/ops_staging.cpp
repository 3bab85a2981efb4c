// Which tensors the engine keeps where the host reaches them is repeated here, so that an op is tested as it is used.
#include "ops_staging.h"

#include <algorithm>

namespace selfrefine {

namespace {

/// Indices, log-probabilities and losses, and the sum of squares.
bool lies_in_shared_memory(std::string_view field, const Tensor& tensor) {
  constexpr std::string_view kFields[] = {"logps", "dlogps", "losses", "sequence_logps", "reference_logps"};
  return tensor.dtype == DType::i32 || tensor.dtype == DType::f64 ||
         std::find(std::begin(kFields), std::end(kFields), field) != std::end(kFields);
}

}  // namespace

void StagedTensors::add(std::string_view field, Tensor& tensor, void* memory, size_t bytes) {
  size_t index = 0;
  while (index < blocks_.size() && blocks_[index].host != memory) ++index;
  if (index == blocks_.size()) blocks_.push_back({static_cast<char*>(memory), bytes, false, nullptr});
  blocks_[index].is_shared |= !resident_ && lies_in_shared_memory(field, tensor);
  uses_.push_back({&tensor, index});
}

void StagedTensors::stage() {
  for (Block& block : blocks_) {
    block.staged = block.is_shared ? backend_.allocate_shared("staging", block.bytes)
                                   : backend_.allocate("staging", block.bytes);
    backend_.copy(block.staged.get(), block.host, block.bytes);
  }
  for (const auto& [tensor, index] : uses_) {
    const Block& block = blocks_[index];
    tensor->data = static_cast<char*>(block.staged.get()) + (static_cast<char*>(tensor->data) - block.host);
  }
}

void StagedTensors::fetch(bool shared_only) {
  backend_.synchronize();
  for (const Block& block : blocks_) {
    if (block.is_shared || !shared_only) backend_.copy(block.host, block.staged.get(), block.bytes);
  }
}

void StagedTensors::refresh() {
  for (const Block& block : blocks_) {
    if (block.is_shared) backend_.copy(block.staged.get(), block.host, block.bytes);
  }
}

}  // namespace selfrefine
