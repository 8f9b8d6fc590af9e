// The Python face of the CUDA code.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "../cuda/device.h"
#include "../cuda/kernels.h"
#include "build_info.h"
#include "modulated_call.h"

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

void modulated_mlp(lmf::Address fields, const std::array<int64_t, 11>& fields_info, lmf::Address skip,
                   const std::array<int64_t, 5>& skip_info, lmf::Address out, const std::array<int64_t, 12>& out_info,
                   lmf::Address coord, lmf::Address point_cell, lmf::Address weights,
                   const std::array<int64_t, 6>& net, const std::array<float, 2>& rel_cell, int device,
                   lmf::Address stream) {
  const lmf::ModulatedCall call = lmf::make_modulated_call(fields, fields_info, skip, skip_info, out, out_info, coord,
                                                           point_cell, weights, net, rel_cell, 1);
  py::gil_scoped_release release;  // the first launch loads the kernels
  lmf::cuda::modulated_mlp(call, device, reinterpret_cast<void*>(stream));
}

double mma_rate(const std::string& dtype, double seconds, int device) {
  if (dtype != "float16" && dtype != "bfloat16") {
    throw py::value_error("dtype is \"float16\" or \"bfloat16\", got \"" + dtype + "\".");
  }
  py::gil_scoped_release release;
  return lmf::cuda::mma_rate(dtype == "float16" ? lmf::Element::f16 : lmf::Element::bf16, seconds, device);
}

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  m.doc() = "CUDA side of lmf_kernels: raw pointers in, no libtorch.";
  m.def("build_info", &lmf::bindings::cuda_build_info,
        "What this module was made with: version, compiler, nvcc and the exact GPU architectures.");
  m.def("modulated_mlp", &modulated_mlp,
        "Renders a call on a device and stream without waiting; RuntimeError with CUDA's words where it cannot begin.");
  m.def("mma_rate", &mma_rate, py::arg("dtype"), py::arg("seconds"), py::arg("device"),
        "mma.sync in registers, in operations (two each) a second: the peak a tensor-core kernel is held against.");
  m.def("device_info", &device_info,
        "count, devices (name, capability, total_memory in bytes), reason (why there are none), driver_version and "
        "runtime_version (12040 is 12.4; the driver's is 0 without a driver). Never raises.");
}
