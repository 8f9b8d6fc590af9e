// What the CUDA runtime reports about this machine. Never throws and needs no driver.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lmf::cuda {

struct Device {
  std::string name;
  int major = 0, minor = 0;      // compute capability
  std::size_t total_memory = 0;  // in bytes
};

struct DeviceReport {
  std::vector<Device> devices;
  std::string reason;       // why there are no devices, or why the list is incomplete; empty otherwise
  int driver_version = 0;   // newest CUDA version that the driver supports, 1000 * major + 10 * minor; 0: no driver
  int runtime_version = 0;  // CUDA version of the runtime in this module, in the same form
};

DeviceReport query_devices();

}  // namespace lmf::cuda
