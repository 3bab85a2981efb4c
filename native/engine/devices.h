// What this build can compute on.
#pragma once

#include <string>
#include <vector>

namespace selfrefine {

struct Device {
  std::string name;         // for ModelOptions.device
  std::string description;  // instruction set and threads
};

/// The fastest first.
std::vector<Device> list_devices();

}  // namespace selfrefine
