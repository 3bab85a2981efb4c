// What this build can compute on, and which of it this machine can use.
#pragma once

#include <string>
#include <vector>

namespace selfrefine {

struct Device {
  std::string name;         // for ModelOptions.device
  std::string description;  // instruction set and threads, or the GPU; of one that is not usable: why not
  bool usable = true;
};

/// The fastest first; what is there for tests alone comes last. Throws nothing: a device that cannot be used says why.
std::vector<Device> list_devices();

/// The device that "auto" stands for: the GPU where it can be used, else the CPU. The description tells which, and why
/// not the other. Asks the machine once; later calls get the same answer.
const Device& choose_device();

}  // namespace selfrefine
