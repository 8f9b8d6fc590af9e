// lmf_kernels._cuda: takes raw pointers and does not link libtorch. The GIL is released while CUDA works.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "../cuda/device.h"
#include "../cuda/kernels.h"
#include "build_info.h"
#include "packed_call.h"

namespace py = pybind11;

namespace {

using lmf::bindings::unpack_call;

py::dict device_info() {
  lmf::cuda::DeviceReport report;
  {
    py::gil_scoped_release release;  // the first query starts the driver, which can take a second
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

void modulated_mlp(const py::bytes& call, const py::tuple& addresses, int device, uintptr_t stream) {
  const auto unpacked = unpack_call<lmf::ModulatedCall>(call, addresses);
  py::gil_scoped_release release;  // the first launch loads the kernels
  lmf::cuda::modulated_mlp(unpacked, device, reinterpret_cast<void*>(stream));
}

template <class Call, void (*launch)(const Call&, void*, int, void*)>
void dense(const py::bytes& call, const py::tuple& addresses, uintptr_t packed, int device, uintptr_t stream) {
  const auto unpacked = unpack_call<Call>(call, addresses);
  py::gil_scoped_release release;
  launch(unpacked, reinterpret_cast<void*>(packed), device, reinterpret_cast<void*>(stream));
}

int64_t plain_mlp_packed_bytes(const py::bytes& call) {
  return lmf::cuda::plain_mlp_packed_bytes(unpack_call<lmf::PlainCall>(call).mlp);
}

int64_t c2f_mlp_packed_bytes(const py::bytes& call) {
  return lmf::cuda::c2f_mlp_packed_bytes(unpack_call<lmf::C2fCall>(call).mlp);
}

double mma_rate(const std::string& dtype, double seconds, int device) {
  if (dtype != "float16" && dtype != "bfloat16") {
    throw py::value_error("dtype must be \"float16\" or \"bfloat16\", got \"" + dtype + "\".");
  }
  py::gil_scoped_release release;
  return lmf::cuda::mma_rate(dtype == "float16" ? lmf::Element::float16 : lmf::Element::bfloat16, seconds, device);
}

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  m.doc() = "The CUDA kernels of lmf_kernels. They take raw pointers and do not link libtorch.";
  lmf::bindings::export_tables(m);
  m.def("build_info", &lmf::bindings::cuda_build_info,
        "How this module was built: version, compiler, nvcc and the GPU architectures.");
  m.def(
      "modulated_mlp", &modulated_mlp, py::arg("call"), py::arg("addresses"), py::arg("device"), py::arg("stream"),
      "Launches the render of a packed RenderCall followed by a ModulatedMlp on a device and stream, without waiting. "
      "Raises RuntimeError with CUDA's message if it cannot be launched.");
  const auto define_dense = [&](const char* name, auto* function, const char* text) {
    m.def(name, function, py::arg("call"), py::arg("addresses"), py::arg("packed"), py::arg("device"),
          py::arg("stream"), text);
  };
  define_dense(
      "plain_mlp", &dense<lmf::PlainCall, &lmf::cuda::plain_mlp>,
      "Launches the render of a packed RenderCall followed by a PlainMlp and its widths, as modulated_mlp does. "
      "packed: address of plain_mlp_packed_bytes(call) bytes of the device's memory, which must stay allocated "
      "until it has finished.");
  m.def("plain_mlp_packed_bytes", &plain_mlp_packed_bytes, py::arg("call"));
  define_dense("c2f_mlp", &dense<lmf::C2fCall, &lmf::cuda::c2f_mlp>,
               "The same of a RenderCall followed by a C2fMlp and its widths. packed: of c2f_mlp_packed_bytes(call) "
               "bytes.");
  m.def("c2f_mlp_packed_bytes", &c2f_mlp_packed_bytes, py::arg("call"));
  m.def("mma_rate", &mma_rate, py::arg("dtype"), py::arg("seconds"), py::arg("device"),
        "Operations per second of mma.sync (two operations per multiply-add) in registers: the peak for a tensor-core "
        "kernel.");
  m.def("device_info", &device_info,
        "count, devices (name, capability, total_memory in bytes), reason (why there are none), driver_version and "
        "runtime_version (12040 is 12.4; the driver's is 0 without a driver). Never raises.");
}
