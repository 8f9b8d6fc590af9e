// The Python face of the CUDA code.
#include <pybind11/pybind11.h>

#include "../cuda/device.h"
#include "build_info.h"

namespace py = pybind11;

namespace {

py::dict device_info() {
  lmf::cuda::DeviceReport report;
  {
    py::gil_scoped_release release;  // the first question starts the driver, which can take a second
    report = lmf::cuda::query_devices();
  }
  py::list devices;
  for (const lmf::cuda::Device& device : report.devices) {
    py::dict entry;
    entry["name"] = device.name;
    entry["capability"] = py::make_tuple(device.major, device.minor);
    entry["total_memory"] = device.total_memory;
    devices.append(entry);
  }
  py::dict facts;
  facts["count"] = report.devices.size();
  facts["devices"] = devices;
  facts["reason"] = report.reason;
  facts["driver_version"] = report.driver_version;
  facts["runtime_version"] = report.runtime_version;
  return facts;
}

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  m.doc() = "CUDA side of lmf_kernels: raw pointers in, no libtorch.";
  m.def("build_info", &lmf::bindings::cuda_build_info,
        "What this module was made with: version, compiler, nvcc and the exact GPU architectures.");
  m.def("device_info", &device_info,
        "count, devices (name, capability, total_memory in bytes), reason (why there are none), driver_version and "
        "runtime_version (12040 is 12.4; the driver's is 0 without a driver). Never raises.");
}
