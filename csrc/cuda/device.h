// What the CUDA runtime says of this machine. Never throws and needs no driver.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lmf::cuda {

struct Device {
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  std::size_t total_memory = 0;  // bytes
};

struct DeviceReport {
  std::vector<Device> devices;
  std::string reason;       // why there are none, or why the list ends early; empty if all is well
  int driver_version = 0;   // 1000 * major + 10 * minor of the newest CUDA the driver serves, 0 without a driver
  int runtime_version = 0;  // likewise of the runtime linked into this module
};

DeviceReport query_devices();

}  // namespace lmf::cuda
