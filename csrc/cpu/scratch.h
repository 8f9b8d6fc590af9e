// A 64-byte aligned buffer that is freed at the end of its scope.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

namespace lmf {
namespace LMF_ISA {
namespace {

template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t bytes) : data_(static_cast<T*>(aligned_alloc(64, size_t((bytes + 127) / 64 * 64)))) {
    if (!data_) throw std::bad_alloc();  // MemoryError in Python; inside a parallel region it ends the process
  }
  ~Scratch() { free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return data_; }

 private:
  T* data_;
};

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf
