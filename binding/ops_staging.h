// The tensors of one op on a backend that cannot reach JavaScript's memory. Every ArrayBuffer is staged whole, once:
// tensors that share one share its copy, their addresses keep their alignment, and what lies around them (the guard
// bytes of tests) comes back too, so that writes beside a tensor still show.
#pragma once

#include <string_view>
#include <vector>

#include "backend.h"

namespace selfrefine {

class StagedTensors {
 public:
  /// `resident`: all of them in memory that the host does not reach, indices too.
  StagedTensors(Backend& backend, bool resident) : backend_(backend), resident_(resident) {}

  /// `tensor` lies in host memory [memory, memory + bytes). Valid until stage().
  void add(std::string_view field, Tensor& tensor, void* memory, size_t bytes);
  /// Copies all memory to the backend and points the tensors there.
  void stage();
  /// Waits for the ops, then copies all memory back, or only what the host reaches while an op is under way.
  void fetch(bool shared_only = false);
  /// Copies what the host reaches to the backend again.
  void refresh();

 private:
  struct Block {
    char* host = nullptr;
    size_t bytes = 0;
    bool is_shared = false;
    std::shared_ptr<void> staged;
  };
  struct Use {
    Tensor* tensor;
    size_t block;
  };

  Backend& backend_;
  bool resident_;
  std::vector<Block> blocks_;
  std::vector<Use> uses_;
};

}  // namespace selfrefine
