// Devices are backends; the truth is the slowest and comes last.
#include "engine/devices.h"

#include <algorithm>

#include "backend.h"

namespace selfrefine {

std::vector<Device> list_devices() {
  std::vector<Device> devices;
  for (const std::string& name : backend_names()) {
    devices.push_back({name, make_backend({.name = name, .threads = 0})->description()});
  }
  std::ranges::stable_sort(devices, {}, [](const Device& device) { return device.name == "reference"; });
  return devices;
}

}  // namespace selfrefine
