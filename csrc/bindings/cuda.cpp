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

// Functions of the kernels of 256-wide layers, by family.
template <class Call>
using Packing = void (*)(const Call&, bool, void*, int, void*);
template <class Call>
using Render = void (*)(const Call&, bool, const void*, int, void*);

template <class Call, class Mlp>
void export_dense(py::module_& m, const std::string& name, int64_t (*packed_bytes)(const Mlp&), Packing<Call> pack,
                  Render<Call> render) {
  m.def((name + "_packed_bytes").c_str(),
        [=](const py::bytes& call) { return packed_bytes(unpack_call<Call>(call).mlp); }, py::arg("call"),
        "Bytes of a call's packed weights.");
  m.def((name + "_pack").c_str(),
        [=](const py::bytes& call, const py::tuple& addresses, bool group, uintptr_t packed, int device,
            uintptr_t stream) {
          const auto unpacked = unpack_call<Call>(call, addresses);
          py::gil_scoped_release release;  // the first launch loads the kernels
          pack(unpacked, group, reinterpret_cast<void*>(packed), device, reinterpret_cast<void*>(stream));
        },
        py::arg("call"), py::arg("addresses"), py::arg("group"), py::arg("packed"), py::arg("device"),
        py::arg("stream"),
        "Launches the packing of a call's weights into device memory at the address `packed`, without waiting. group: "
        "for "
        "the kernel by wgmma.");
  m.def(
      name.c_str(),
      [=](const py::bytes& call, const py::tuple& addresses, bool group, uintptr_t packed, int device,
          uintptr_t stream) {
        const auto unpacked = unpack_call<Call>(call, addresses);
        py::gil_scoped_release release;
        render(unpacked, group, reinterpret_cast<const void*>(packed), device, reinterpret_cast<void*>(stream));
      },
      py::arg("call"), py::arg("addresses"), py::arg("group"), py::arg("packed"), py::arg("device"), py::arg("stream"),
      "Launches the render of a packed RenderCall followed by the family's struct, as modulated_mlp does, with weights "
      "that were packed before. They must stay allocated until it has finished.");
}

lmf::Element half_of(const std::string& dtype) {
  if (dtype != "float16" && dtype != "bfloat16") {
    throw py::value_error("dtype must be \"float16\" or \"bfloat16\", got \"" + dtype + "\".");
  }
  return dtype == "float16" ? lmf::Element::float16 : lmf::Element::bfloat16;
}

void group_tile(const std::string& dtype, uintptr_t a, uintptr_t b, uintptr_t packed, uintptr_t d, int device,
                uintptr_t stream) {
  const lmf::Element half = half_of(dtype);
  py::gil_scoped_release release;
  lmf::cuda::group_tile(half, reinterpret_cast<const void*>(a), reinterpret_cast<const void*>(b),
                        reinterpret_cast<void*>(packed), reinterpret_cast<float*>(d), device,
                        reinterpret_cast<void*>(stream));
}

double mma_rate(const std::string& dtype, double seconds, int device) {
  const lmf::Element half = half_of(dtype);
  py::gil_scoped_release release;
  return lmf::cuda::mma_rate(half, seconds, device);
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
  export_dense<lmf::PlainCall>(m, "plain_mlp", &lmf::cuda::plain_mlp_packed_bytes, &lmf::cuda::plain_mlp_pack,
                               &lmf::cuda::plain_mlp);
  export_dense<lmf::C2fCall>(m, "c2f_mlp", &lmf::cuda::c2f_mlp_packed_bytes, &lmf::cuda::c2f_mlp_pack,
                             &lmf::cuda::c2f_mlp);
  m.def("has_warpgroups", &lmf::cuda::has_warpgroups, py::arg("device"), py::call_guard<py::gil_scoped_release>(),
        "Whether kernels can run by wgmma: the device has compute capability 9.0, and this module code for sm_90a.");
  m.def("group_tile", &group_tile, py::arg("dtype"), py::arg("a"), py::arg("b"), py::arg("packed"), py::arg("d"),
        py::arg("device"), py::arg("stream"),
        "Launches one product by wgmma for a self-test, without waiting. Addresses of the device's memory: a (64, 32) "
        "and "
        "b (32, 256) of dtype, packed (16384 bytes, scratch), d (64, 256) float32. Raises RuntimeError without "
        "has_warpgroups.");
  m.def("mma_rate", &mma_rate, py::arg("dtype"), py::arg("seconds"), py::arg("device"),
        "Operations per second of mma.sync (two operations per multiply-add) in registers: the peak for a tensor-core "
        "kernel.");
  m.def("device_info", &device_info,
        "count, devices (name, capability, total_memory in bytes), reason (why there are none), driver_version and "
        "runtime_version (12040 is 12.4; the driver's is 0 without a driver). Never raises.");
}
