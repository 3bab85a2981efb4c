// Devices are backends; the slow truth and the simulation are never chosen for a user.
#include "engine/devices.h"

#include <algorithm>

#include "backend.h"
#include "core/error.h"

namespace selfrefine {

namespace {

bool is_for_tests(const Device& device) { return device.name != "cuda" && device.name != "cpu"; }

Device look_at(const std::string& name) {
  try {
    return {name, make_backend({.name = name, .threads = 0})->description(), true};
  } catch (const std::exception& error) {
    return {name, error.what(), false};
  }
}

Device choose() {
  const Device cuda = look_at("cuda");
  if (cuda.usable) return {cuda.name, "auto takes the GPU: " + cuda.description, true};
  // The remedy, after the semicolon, is for those who look for a GPU: list_devices() has it.
  return {"cpu", "auto takes the cpu: " + cuda.description.substr(0, cuda.description.find(';')), true};
}

}  // namespace

std::vector<Device> list_devices() {
  std::vector<Device> devices;
  for (const std::string& name : backend_names()) devices.push_back(look_at(name));
  std::ranges::stable_sort(devices, {}, is_for_tests);
  return devices;
}

const Device& choose_device() {
  static const Device chosen = choose();
  return chosen;
}

}  // namespace selfrefine
